"""The tokenizers of the table: each by a name that says what is particular about it, and the files that makers ship it in."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .texts import CORPUS
from .tokenizer_kinds import (
    CHAT_TOKENS,
    added,
    begins_with,
    byte_level,
    gemma,
    sentencepiece,
    size,
    unigram,
    with_added,
)

Files = Mapping[str, Any]  # by file name: an object that is written as JSON, a text, or bytes
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
NEW = ("<|user|>", "<|bot|>")  # beyond the trained vocabulary
FAST, LLAMA, GPT2, QWEN2 = "PreTrainedTokenizerFast", "LlamaTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer"


def folder(raw: dict, kind: str | None = FAST, /, **settings: Any) -> Files:
    """tokenizer.json and tokenizer_config.json of class `kind`; a setting that is None is left out."""
    config = {key: value for key, value in ({"tokenizer_class": kind} | NAMES | settings).items() if value is not None}
    return {"tokenizer.json": raw, "tokenizer_config.json": config}


def vocab_and_merges(raw: dict, kind: str, **settings: Any) -> Files:
    """The older form: vocab.json and merges.txt, without tokenizer.json."""
    merges = "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in raw["model"]["merges"])
    config = folder(raw, kind, **settings)["tokenizer_config.json"]
    return {"vocab.json": raw["model"]["vocab"], "merges.txt": merges, "tokenizer_config.json": config}


def sentencepiece_model(kind: str, model_type: str, **settings: Any) -> Files:
    """A tokenizer.model as the sentencepiece package trains it, without tokenizer.json."""
    import sentencepiece  # transformers needs it, too, to open such a file

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter("".join(CORPUS).split("\n")), model_writer=trained, model_type=model_type, vocab_size=480,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, hard_vocab_limit=False,
        allow_whitespace_only_pieces=True, character_coverage=1.0, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return {
        "tokenizer.model": trained.getvalue(),
        "tokenizer_config.json": folder({}, kind, **settings)["tokenizer_config.json"],
    }


def _decoder_entries(raw: dict, *names: str, **traits: Any) -> dict:
    entries = (added(name, size(raw) + n, **traits) for n, name in enumerate(names))
    return {str(entry.pop("id")): entry for entry in entries}


def _chat_tokens_elsewhere(file: str, value: Any) -> Files:
    """Byte-level BPE whose tokenizer.json does not know its chat tokens; another file names them."""
    return {**folder(byte_level(chat_tokens=False)), file: value}


def _token(name: str, **traits: Any) -> dict:
    return {"__type": "AddedToken", **{key: value for key, value in added(name, 0, **traits).items() if key != "id"}}


BOS = {"add_bos_token": True}
TOKENIZERS: dict[str, Callable[[], Files]] = {
    # Byte-level BPE: how text is cut
    "gpt2": lambda: folder(byte_level()),
    "gpt2, class GPT2Tokenizer": lambda: folder(byte_level(), GPT2),
    "gpt2, prefix space": lambda: folder(byte_level(prefix_space=True)),
    "gpt2, prefix space, class GPT2Tokenizer": lambda: folder(byte_level(prefix_space=True), GPT2, add_prefix_space=True),
    "gpt2, vocab.json and merges.txt": lambda: vocab_and_merges(byte_level(), GPT2),
    "gpt2, NFKC and lower case": lambda: folder(byte_level(normalizer={"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}]})),
    "gpt2, truncation and padding": lambda: folder(byte_level(
        truncation={"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
                 "pad_token": "<unk>"})),
    "qwen2": lambda: folder(byte_level("qwen2"), QWEN2, bos_token=None, eos_token="<|im_end|>", add_bos_token=False),
    "qwen2, class Qwen2TokenizerFast": lambda: folder(byte_level("qwen2"), "Qwen2TokenizerFast"),
    "qwen2, vocab.json, merges.txt, added_tokens.json": lambda: vocab_and_merges(
        byte_level("qwen2"), QWEN2) | {"added_tokens.json": {"<tool_call>": 600, "<|user|>": 601}},
    "llama3": lambda: folder(begins_with(byte_level("llama3"), "<s>")),
    "llama3, class LlamaTokenizer": lambda: folder(begins_with(byte_level("llama3"), "<s>"), LLAMA),
    "smollm": lambda: folder(byte_level("smollm"), GPT2, bos_token="<|im_start|>", eos_token="<|im_end|>"),
    # Which special tokens stand around a text
    "gpt2, add_bos_token": lambda: folder(byte_level(), add_bos_token=True),
    "gpt2, add_bos_token and add_eos_token": lambda: folder(byte_level(), add_bos_token=True, add_eos_token=True),
    "llama3, add_bos_token false": lambda: folder(begins_with(byte_level("llama3"), "<s>"), add_bos_token=False),
    "llama3, post-processor with both ends": lambda: folder(begins_with(byte_level("llama3"), "<s>", "</s>")),
    "gpt2, ends named by objects": lambda: folder(
        byte_level(), bos_token=_token("<s>", lstrip=True), eos_token=_token("</s>", rstrip=True), add_bos_token=True),
    # Where added tokens are named
    "added_tokens_decoder": lambda: folder(byte_level(), added_tokens_decoder=_decoder_entries(byte_level(), *NEW)),
    "added_tokens_decoder, not special": lambda: folder(byte_level(), added_tokens_decoder=_decoder_entries(
        byte_level(), "<think>", "</think>", special=False)),
    "additional_special_tokens": lambda: folder(byte_level(chat_tokens=False), additional_special_tokens=list(CHAT_TOKENS)),
    "additional_special_tokens, new": lambda: folder(byte_level(), additional_special_tokens=list(NEW)),
    "extra_special_tokens, list": lambda: folder(byte_level(), extra_special_tokens=list(NEW)),
    "extra_special_tokens, object": lambda: folder(
        byte_level(), extra_special_tokens={"user_token": NEW[0], "bot_token": NEW[1]}),
    "added_tokens.json": lambda: _chat_tokens_elsewhere("added_tokens.json", {"<|user|>": 600, "<|bot|>": 601}),
    "special_tokens_map.json": lambda: _chat_tokens_elsewhere(
        "special_tokens_map.json", {"additional_special_tokens": list(CHAT_TOKENS)}),
    "no file names the chat tokens": lambda: folder(byte_level(chat_tokens=False)),
    # What added tokens do to the text around them
    "tokens that strip": lambda: folder(with_added(
        byte_level(), added("<|user|>", 600, lstrip=True), added("<|bot|>", 601, rstrip=True))),
    "tokens that are single words": lambda: folder(with_added(
        byte_level(), added("word", 600, special=False, single_word=True), added("fox", 601, single_word=True))),
    "tokens found in normalized text": lambda: folder(with_added(
        byte_level("qwen2"), added("caf\u00e9", 600, special=False, normalized=True), added("<|user|>", 601, normalized=True))),
    # SentencePiece, BPE
    "llama2, legacy": lambda: folder(sentencepiece(), LLAMA, legacy=True, **BOS),
    "llama2, not legacy": lambda: folder(sentencepiece(), LLAMA, legacy=False, **BOS),
    "llama2, class LlamaTokenizerFast": lambda: folder(begins_with(sentencepiece(), "<s>"), "LlamaTokenizerFast"),
    "llama2, as the file says": lambda: folder(begins_with(sentencepiece(), "<s>")),
    "llama2, no BOS": lambda: folder(sentencepiece(), LLAMA, legacy=True, add_bos_token=False),
    "llama2, BOS and EOS": lambda: folder(sentencepiece(), LLAMA, legacy=True, add_bos_token=True, add_eos_token=True),
    "llama2, add_prefix_space false": lambda: folder(sentencepiece(), LLAMA, legacy=False, add_prefix_space=False, **BOS),
    "llama2, chat tokens": lambda: folder(with_added(
        sentencepiece(), added("<|im_start|>", 600), added("<|im_end|>", 601)), LLAMA, legacy=True, **BOS),
    "llama2, chat tokens, as the file says": lambda: folder(with_added(
        sentencepiece(), added("<|im_start|>", 600), added("<|im_end|>", 601), added("<think>", 602, special=False))),
    "metaspace first": lambda: folder(begins_with(sentencepiece("first"), "<s>")),
    "metaspace first, split": lambda: folder(sentencepiece("first, split")),
    "metaspace always": lambda: folder(sentencepiece("always")),
    "metaspace always, split, no bytes": lambda: folder(sentencepiece("always, split", byte_fallback=False)),
    "metaspace never": lambda: folder(sentencepiece("never")),
    "gemma": lambda: folder(gemma(), "GemmaTokenizer", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"),
    "gemma, as the file says": lambda: folder(gemma(), bos_token="<bos>", eos_token="<eos>"),
    "tokenizer.model, BPE": lambda: sentencepiece_model(LLAMA, "bpe", legacy=True, **BOS),
    "tokenizer.model, BPE, not legacy": lambda: sentencepiece_model(LLAMA, "bpe", legacy=False, **BOS),
    # SentencePiece, Unigram
    "unigram": lambda: folder(unigram()),
    "unigram, NFKC": lambda: folder(unigram(normalizer={"type": "NFKC"})),
    # Little is said
    "no tokenizer_class": lambda: folder(byte_level(), None),
    "no tokenizer_config.json": lambda: {"tokenizer.json": begins_with(byte_level("llama3"), "<s>")},
}  # fmt: skip


def write(path: Path, files: Files) -> None:
    """Writes the files into the folder."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            (path / name).write_bytes(content)
        elif isinstance(content, str):
            (path / name).write_text(content, encoding="utf-8")
        else:
            (path / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
