"""Small tokenizers of the kinds that makers publish, as objects of tokenizer.json, trained here in a moment.

A vocabulary ends below `MOST_IDS`, so that all models of this suite have one size and are compiled once.
"""

import copy
import functools
import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from .texts import CORPUS

MOST_IDS = 640
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")
LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = {
    "gpt2": None,
    "qwen2": LETTERS,
    "llama3": LETTERS.replace(r"|\p{N}|", r"|\p{N}{1,3}|"),
    "smollm": None,
}


def byte_level(split: str = "gpt2", prefix_space: bool = False, chat_tokens: bool = True, **parts) -> dict:
    """Byte-level BPE that cuts text as `split` says; `parts` replace whole parts of the file."""
    raw = copy.deepcopy(_trained_byte_level(split, prefix_space))
    if not chat_tokens:
        raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] not in CHAT_TOKENS]
    return raw | parts


def sentencepiece(spaces: str = "replace", byte_fallback: bool = True, **parts) -> dict:
    """SentencePiece's BPE: `spaces` says what turns spaces into "▁" and which text gets one before it."""
    raw = copy.deepcopy(_trained_sentencepiece(byte_fallback))
    return raw | SPACES[spaces] | parts


def unigram(**parts) -> dict:
    """SentencePiece's Unigram, with a "▁" before the first word."""
    return copy.deepcopy(_trained_unigram()) | parts


def gemma() -> dict:
    """As Gemma's file: spaces become "▁", none is put before, text is cut behind each."""
    raw = sentencepiece("never") | {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
        },
    }  # fmt: skip
    names = {"<s>": "<bos>", "</s>": "<eos>"}
    raw = renamed(raw, names)
    return begins_with(raw, "<bos>")


def renamed(raw: dict, names: dict[str, str]) -> dict:
    """The tokenizer with other names for some tokens."""
    model = raw["model"] | {"vocab": {names.get(name, name): i for name, i in raw["model"]["vocab"].items()}}
    added = [token | {"content": names.get(token["content"], token["content"])} for token in raw["added_tokens"]]
    return raw | {"model": model, "added_tokens": added}


def begins_with(raw: dict, token: str, behind: str | None = None) -> dict:
    """The tokenizer with a post-processor that puts `token` before every text, and `behind` after it."""
    special = {name: _special(raw, name) for name in (token, behind) if name}
    before, after = ([{"SpecialToken": {"id": name, "type_id": 0}}] if name else [] for name in (token, behind))
    one, two = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    processor = {"type": "TemplateProcessing", "single": [*before, one, *after], "pair": [*before, one, two, *after]}
    return raw | {"post_processor": processor | {"special_tokens": special}}


def added(name: str, number: int, special: bool = True, **traits) -> dict:
    """An entry of added_tokens."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": name} | plain | traits | {"special": special}


def with_added(raw: dict, *tokens: dict) -> dict:
    return raw | {"added_tokens": raw["added_tokens"] + list(tokens)}


def size(raw: dict) -> int:
    """The first id that is free."""
    return max([len(raw["model"]["vocab"]) - 1, *(token["id"] for token in raw["added_tokens"])]) + 1


def _special(raw: dict, name: str) -> dict:
    number = next(token["id"] for token in raw["added_tokens"] if token["content"] == name)
    return {"id": name, "ids": [number], "tokens": [name]}


@functools.cache
def _trained_byte_level(split: str, prefix_space: bool) -> dict:
    backend = Tokenizer(models.BPE())
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=WORDS[split] is None)
    backend.pre_tokenizer, backend.decoder = spelled, decoders.ByteLevel()
    raw = json.loads(backend.to_str())
    if split == "smollm":
        digits = {"type": "Digits", "individual_digits": True}
        raw["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, raw["pre_tokenizer"]]}
    if WORDS[split]:
        cut = {"type": "Split", "pattern": {"Regex": WORDS[split]}, "behavior": "Isolated", "invert": False}
        raw["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [cut, raw["pre_tokenizer"]]}
    if split == "qwen2":
        raw["normalizer"] = {"type": "NFC"}
    backend = Tokenizer.from_str(json.dumps(raw))
    specials = [AddedToken(name, normalized=False) for name in ("<unk>", "<s>", "</s>", *CHAT_TOKENS)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    raw = json.loads(backend.to_str())
    if split == "llama3":  # takes a word of the vocabulary whole, also one that no merges lead to
        raw["model"]["ignore_merges"] = True
        raw["model"]["vocab"]["Ġzygote"] = len(raw["model"]["vocab"])
    return raw


NO_SPACES = {"normalizer": None, "pre_tokenizer": None}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def _decoder(strip: bool) -> dict:
    parts = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    return {"type": "Sequence", "decoders": parts + [STRIP] * strip}


def _metaspace(scheme: str, split: bool) -> dict:
    scheme_of = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
    return NO_SPACES | {"pre_tokenizer": scheme_of, "decoder": _decoder(scheme != "never")}


SPACES = {
    "replace": NO_SPACES | {
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "decoder": _decoder(True),
    },
    "first": _metaspace("first", False),
    "always": _metaspace("always", False),
    "never": _metaspace("never", False),
    "first, split": _metaspace("first", True),
    "always, split": _metaspace("always", True),
}  # fmt: skip


@functools.cache
def _trained_sentencepiece(byte_fallback: bool) -> dict:
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    raw = json.loads(backend.to_str())
    if byte_fallback:
        raw["model"]["byte_fallback"] = True
        raw["model"]["vocab"] |= {f"<0x{byte:02X}>": len(raw["model"]["vocab"]) + byte for byte in range(256)}
    return raw


@functools.cache
def _trained_unigram() -> dict:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return json.loads(backend.to_str())
