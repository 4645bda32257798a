"""Tiny models of several families, and the files in which their weights come; torch makes them, transformers reads them."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from .tokenizer_kinds import MOST_IDS

Tensors = dict[str, torch.Tensor]
SIZES = {
    "vocab_size": MOST_IDS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
LONG = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
CONFIGS: dict[str, Callable[[], transformers.PreTrainedConfig]] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, **UNTIED),
    "llama, tied": lambda: transformers.LlamaConfig(**SIZES, **TIED),
    "llama, biases, long context": lambda: transformers.LlamaConfig(
        **SIZES, **UNTIED, rope_parameters=LONG, attention_bias=True, mlp_bias=True
    ),
    "mistral, window": lambda: transformers.MistralConfig(**SIZES, **UNTIED, sliding_window=19),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, **UNTIED),
    "qwen3, tied": lambda: transformers.Qwen3Config(**SIZES | {"head_dim": 16}, **TIED),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SIZES | {"head_dim": 16},
        sliding_window=19,
        query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    ),
}  # fmt: skip


@functools.cache
def weights(config: str) -> Tensors:
    """The tensors of a random model; its next-token distributions are far from flat."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[config](), dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (1.0 if "norm" in name and "gemma" not in config else 0.0))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _single(folder: Path, tensors: Tensors) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _as(dtype: torch.dtype) -> Callable[[Path, Tensors], None]:
    return lambda folder, tensors: _single(folder, {name: tensor.to(dtype) for name, tensor in tensors.items()})


def _sharded(folder: Path, tensors: Tensors) -> None:
    names = sorted(tensors)
    of = {name: f"model-{n % 3 + 1:05d}-of-00003.safetensors" for n, name in enumerate(names)}
    for file in set(of.values()):
        part = {name: tensors[name] for name in names if of[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    _write_index(folder, of)


def _write_index(folder: Path, of: dict[str, str]) -> None:
    index = {"metadata": {"total_size": 0}, "weight_map": of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")


def _beside_stale_index(folder: Path, tensors: Tensors) -> None:
    _single(folder, tensors)
    _write_index(folder, dict.fromkeys(tensors, "model-00001-of-00001.safetensors"))


def _beside_stale_shards(folder: Path, tensors: Tensors) -> None:
    _sharded(folder, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()})
    _single(folder, tensors)


def _head_alone(folder: Path, tensors: Tensors) -> None:
    _single(folder, {"lm_head.weight" if "embed_tokens" in name else name: tensors[name] for name in _once(tensors)})


def _head_twice(folder: Path, tensors: Tensors) -> None:
    head = {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}
    _single(folder, _once(tensors) | head)


def _once(tensors: Tensors) -> Tensors:
    """The tensors of a tied model without the head that repeats the embedding."""
    return {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


WEIGHTS: dict[str, Callable[[Path, Tensors], None]] = {
    "one file": _single,
    "shards": _sharded,
    "bfloat16": _as(torch.bfloat16),
    "float16": _as(torch.float16),
    "one file beside a stale index": _beside_stale_index,
    "one file beside stale shards": _beside_stale_shards,
    "tied, the head alone": _head_alone,
    "tied, both": _head_twice,
}


def fits(config: str, files: str) -> bool:
    """Whether such files are ever written of such a model."""
    return not files.startswith("tied") or CONFIGS[config]().tie_word_embeddings


def write_config(folder: Path, config: str) -> None:
    """Writes config.json."""
    described = CONFIGS[config]()
    described.architectures = [transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(described)].__name__]
    described.save_pretrained(folder)


def write_weights(folder: Path, config: str, files: str) -> None:
    """Writes the weights in files of this kind."""
    tensors, once = weights(config), CONFIGS[config]().tie_word_embeddings and not files.startswith("tied")
    WEIGHTS[files](folder, _once(tensors) if once else tensors)
