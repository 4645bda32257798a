"""Odd text, and small tokenizers trained here with the pipelines that the models' makers published."""

import functools
import json

import transformers
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

PIECES = [
    "", " ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u3000", "\u00a0", "1", "42", "1.5", "٣", "½", "Ⅷ", "user", " user",
    "Hello", "'s", "'LL", "don't", "…", "—", "🙂", "👩‍👩‍👧", "🇫🇷", "e\u0301", "é", "\u0301", "日本語", "汉字", "한국어",
    "שלום", "مرحبا", "\u200f", "\ufeff", "\x00", "\ue000", "\ue001", "\ufffd", "<", "<|", "|>", "<|im_start|>", "<|im_end|>",
    "<|im_", "end|>", "<|endoftext|>", "<|im_end|", "<s>", "</s>", "[INST]", "system\n", "<think>", "{{ messages }}",
]  # fmt: skip
TEXT = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
ABSENT = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2}  # bytes that SmolLM2's vocabulary lacks and drops
FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
LETTERS = st.text(st.characters(exclude_categories=["Cs", "N"]), max_size=30)
CORPUS = [
    "The quick brown fox doesn't jump over 12 lazy dogs,  or 345 of them; it's late.\n\nWe'll see at 10:30!\r\n\r\n",
    "Ein Mädchen läuft über die Brücke. ¿Dónde está la niña?\n他说今天的天气很好。 今日は天気がいい。 오늘은 날씨가 좋아.\n",
    "def f(x):\n    if x > 1:\n        return  10\n    return    2\n\tpass\n🙂🙂 café cafe\u0301 naïve שלום عالم\n",
    "user\nassistant\nsystem\nHello hello Hello, how are you? I'm fine, thank you. user assistant <think> </think>\n",
] * 3


def question(content):
    return [{"role": "user", "content": content}]


def as_text(backend):
    """How the backend splits a text, taking the names of control tokens in it for text."""
    backend = Backend.from_str(backend.to_str())
    backend.encode_special_tokens = True
    return lambda text: backend.encode(text, add_special_tokens=False).ids


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
DIGITS = {"type": "Digits", "individual_digits": True}
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# As published with the models; GPT-2's and Qwen 2's are transformers' own classes.
PUBLISHED = {
    "smollm": {"type": "Sequence", "pretokenizers": [DIGITS, BYTES | {"use_regex": True}]},
    "llama-bpe": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
        BYTES | {"use_regex": False},
    ]},
}  # fmt: skip
CONTROLS = ["<|begin|>", "<|end|>", "<|start|>"]


@functools.cache
def trained(pre):
    """A small byte-level tokenizer that splits as `pre` says, with three control tokens."""
    if pre == "gpt-2":
        backend = transformers.GPT2Tokenizer().backend_tokenizer
    elif pre == "qwen2":
        backend = transformers.Qwen2Tokenizer().backend_tokenizer
    else:
        raw = json.loads(transformers.GPT2Tokenizer().backend_tokenizer.to_str())
        backend = Backend.from_str(json.dumps(raw | {"pre_tokenizer": PUBLISHED[pre]}))
    raw = json.loads(backend.to_str())
    raw |= {"added_tokens": [], "model": json.loads(models.BPE().__getstate__()) | {"ignore_merges": pre == "llama-bpe"}}
    backend = Backend.from_str(json.dumps(raw))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=CONTROLS, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    if pre == "llama-bpe":  # a word that no merges lead to, as Llama 3's vocabulary has some
        raw = json.loads(backend.to_str())
        raw["model"]["vocab"]["Ġzygote"] = len(raw["model"]["vocab"])
        backend = Backend.from_str(json.dumps(raw))
    return backend


def fields_of(backend, pre):
    """What llama.cpp's converter writes of a tokenizer."""
    raw = json.loads(backend.to_str())
    kinds = {token["id"]: 3 if token["special"] else 4 for token in raw["added_tokens"]}
    tokens = sorted(backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [name for name, _ in tokens],
        "tokenizer.ggml.token_type": [kinds.get(i, 1) for _, i in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in raw["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }
