"""Tokenizers from GGUF metadata, where these say enough for exactly the original's ids.

A byte-level vocabulary needs the name of its pre-tokenizer, `tokenizer.ggml.pre`: how text was cut before merging. Converters
before April 2024 left it out, later ones write "default" where they do not know it; then only GPT-2's own vocabulary, which
shows itself, can be read. Of SentencePiece vocabularies Gemma's can, by transformers' reader; others lack whether a space goes
before a text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from remid_jax.errors import UserError
from remid_jax.models.tokenizer import Tokenizer, transformers_library

WAY_OUT = "put the original model's tokenizer.json and tokenizer_config.json beside the file"
GPT2 = {262: "Ġthe", 50256: "<|endoftext|>"}  # two ids by which its vocabulary is known


def read_tokenizer(fields: Mapping[str, Any], path: str | Path) -> Tokenizer:
    """Returns the tokenizer that a GGUF file's metadata describe, exactly as the original was.

    Raises:
      UserError: if the metadata do not say enough for that, or are broken.
    """
    model, pre = str(fields.get("tokenizer.ggml.model")), fields.get("tokenizer.ggml.pre", "default")
    if model == "llama" and fields.get("general.architecture") == "gemma3":
        return _read_gemma(Path(path))
    if model == "gpt2" and pre == "default":
        if not _is_gpt2(fields["tokenizer.ggml.tokens"]):
            raise UserError(
                f'{path}: its metadata do not name the pre-tokenizer (tokenizer.ggml.pre is missing or "default"), so its text '
                f"would be cut otherwise than the model's: {WAY_OUT}, or convert the model again"
            )
        pre = "gpt-2"
    if model != "gpt2" or pre not in SPLITS:
        raise UserError(
            f"{path}: a tokenizer of model {model}, pre-tokenizer {pre} cannot be rebuilt exactly from GGUF metadata: {WAY_OUT}"
        )
    try:
        backend, names = _build(fields, str(pre))
    except Exception as error:  # whatever a broken file makes of it; the library raises nothing more special
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: broken tokenizer metadata ({why}): fetch the file again") from error
    return Tokenizer.from_backend(backend, fields.get("tokenizer.chat_template"), names, str(path))


def _is_gpt2(tokens: list[str]) -> bool:
    return all(i < len(tokens) and tokens[i] == token for i, token in GPT2.items())


def _read_gemma(path: Path) -> Tokenizer:
    try:
        library = transformers_library().AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    except Exception as error:  # whatever a broken file makes of it
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: transformers cannot read its tokenizer ({why}): {WAY_OUT}") from error
    return Tokenizer(library, str(path))


NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # of llama.cpp's kinds of tokens, those that matter here
GGUF_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
QWEN2_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = QWEN2_WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")  # take a word of the vocabulary whole, and begin prompts with BOS


def _split_gpt2(backend: tokenizers.Tokenizer) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)


def _split_smollm(backend: tokenizers.Tokenizer) -> None:
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])


def _split_by(words: str, backend: tokenizers.Tokenizer) -> None:
    split, spelling = pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])


def _split_qwen2(backend: tokenizers.Tokenizer) -> None:
    backend.normalizer = normalizers.NFC()
    _split_by(QWEN2_WORDS, backend)


# How the models' own tokenizers cut text before merging, by the name of GGUF's "pre".
SPLITS: dict[str, Callable[[tokenizers.Tokenizer], None]] = {
    "gpt-2": _split_gpt2,
    "smollm": _split_smollm,
    "qwen2": _split_qwen2,
    **dict.fromkeys(WHOLE_WORDS, functools.partial(_split_by, LLAMA3_WORDS)),
}


def _build(fields: Mapping[str, Any], pre: str) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """A byte-level BPE backend, and its special tokens by their roles."""
    tokens = fields["tokenizer.ggml.tokens"]
    kinds = fields.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    typed = list(zip(tokens, kinds, strict=True))
    vocabulary = {token: i for i, (token, kind) in enumerate(typed) if kind != UNUSED}
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in WHOLE_WORDS))
    SPLITS[pre](backend)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == CONTROL])
    backend.add_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == USER_DEFINED])
    ids = {role: fields.get(f"tokenizer.ggml.{key}_token_id") for role, key in GGUF_ROLES.items()}
    names = {role: tokens[i] for role, i in ids.items() if i is not None}
    bos = (
        [names["bos_token"]] if "bos_token" in names and fields.get("tokenizer.ggml.add_bos_token", pre in WHOLE_WORDS) else []
    )
    eos = [names["eos_token"]] if "eos_token" in names and fields.get("tokenizer.ggml.add_eos_token", False) else []
    backend.post_processor = processors.TemplateProcessing(
        single=[*bos, "$A", *eos], special_tokens=[(name, backend.token_to_id(name)) for name in dict.fromkeys(bos + eos)]
    )
    return backend, names
