"""The model families that the decoder knows, a row each, and what is near those that it does not know.

Files only say what differs from the defaults of their `transformers` class, so those defaults are written down here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple


class Family(NamedTuple):
    """A `model_type`: the class that transformers opens it with, and what that class assumes where config.json is silent.

    `traits` are those of our config that all its models have. `heeds` names the keys about biases that it reads. `windows` says
    which layers slide where the file does not name each: none; all; all but each `sliding_window_pattern`-th; or, if the file
    switches them on, those from `max_window_layers` on, or those without rotary embeddings. `two_ropes`: sliding layers have
    a rotary embedding of their own. `ropes` are its stretches.
    """

    architecture: str
    defaults: dict[str, Any]
    traits: Mapping[str, Any] = MappingProxyType({})
    heeds: tuple[str, ...] = ()
    windows: Literal["none", "all", "patterned", "late", "unturned"] = "none"
    two_ropes: bool = False
    ropes: tuple[str, ...] = ("default", "linear", "llama3", "yarn")


EVERY_FAMILY = {
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "tie_word_embeddings": False,
    "attention_bias": False, "mlp_bias": False,
}  # fmt: skip
_QWEN = {"max_position_embeddings": 32_768, "num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}
_OLMO = {"vocab_size": 50_304, "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5}  # fmt: skip
_OLMO_TRAITS = {"qk_norm": True, "whole_qk_norm": True, "pre_norms": False, "post_norms": True}
FAMILIES = {
    "llama": Family("LlamaForCausalLM", {"max_position_embeddings": 2048}, heeds=("attention_bias", "mlp_bias")),
    "mistral": Family(
        "MistralForCausalLM", {"max_position_embeddings": 131_072, "num_key_value_heads": 8, "sliding_window": 4096},
        windows="all",
    ),
    "qwen2": Family("Qwen2ForCausalLM", _QWEN, {"qkv_bias": True}, windows="late"),
    "qwen3": Family("Qwen3ForCausalLM", _QWEN | {"head_dim": 128}, {"qk_norm": True}, ("attention_bias",), "late"),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        {"vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
         "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
         "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True, "query_pre_attn_scalar": 256,
         "sliding_window": 4096, "sliding_window_pattern": 6, "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0},
        {"qk_norm": True, "post_norms": True, "norm_offset": 1.0}, ("attention_bias",), "patterned", two_ropes=True,
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        {"vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 11_008, "num_hidden_layers": 36,
         "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 32_768, "rope_theta": 2_000_000.0,
         "tie_word_embeddings": True, "no_rope_layer_interval": 4},
        {}, ("attention_bias", "mlp_bias"), "unturned",
    ),
    "olmo2": Family("Olmo2ForCausalLM", _OLMO, _OLMO_TRAITS, ("attention_bias",)),
    "olmo3": Family(
        "Olmo3ForCausalLM",
        _OLMO | {"rope_theta": 500_000.0, "rope_local_base_freq": 500_000.0, "sliding_window": 4096,
                 "sliding_window_pattern": 4},
        _OLMO_TRAITS, ("attention_bias",), "patterned", two_ropes=True,
    ),
    "granite": Family(
        "GraniteForCausalLM",
        {"vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "max_position_embeddings": 2048, "embedding_multiplier": 1.0, "logits_scaling": 1.0,
         "residual_multiplier": 1.0, "attention_multiplier": 1.0},
        {}, ("attention_bias", "mlp_bias"),
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        {"vocab_size": 32_064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
         "num_attention_heads": 32, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
         "rms_norm_eps": 1e-5},
        {}, (), "all", ropes=("default", "longrope"),
    ),
}  # fmt: skip

_EXPERTS = "a mixture of experts"
# What people ask for and the decoder does not do: by how a model_type begins, why, and the family to choose from instead.
_NEAREST = (
    ("qwen2_moe", _EXPERTS, "qwen2"), ("qwen3_moe", _EXPERTS, "qwen3"), ("qwen3_next", _EXPERTS, "qwen3"),
    ("qwen3_5", "linear attention in most layers", "qwen3"), ("qwen2_vl", "a model that sees", "qwen2"),
    ("qwen2_5_vl", "a model that sees", "qwen2"), ("qwen3_vl", "a model that sees", "qwen3"),
    ("mixtral", _EXPERTS, "mistral"), ("mistral3", "a model that sees", "mistral"), ("ministral", "other windows", "mistral"),
    ("llama4", _EXPERTS, "llama"), ("mllama", "a model that sees", "llama"), ("phimoe", _EXPERTS, "phi3"),
    ("phi4_multimodal", "a model that sees and hears", "phi3"), ("phi", "layer norms and one norm a layer", "phi3"),
    ("olmoe", _EXPERTS, "olmo2"), ("flex_olmo", _EXPERTS, "olmo2"), ("olmo_hybrid", "linear attention", "olmo3"),
    ("olmo", "layer norms without weights", "olmo2"), ("granitemoehybrid", "state-space layers", "granite"),
    ("granitemoe", _EXPERTS, "granite"), ("gemma3n", "embeddings for each layer", "gemma3_text"),
    ("gemma4", "embeddings and heads that differ by layer", "gemma3_text"),
    ("gemma2", "softcapped attention", "gemma3_text"), ("gemma", "other norms", "gemma3_text"), ("gpt_oss", _EXPERTS, "llama"),
    ("deepseek", _EXPERTS, "llama"), ("smolvlm", "a model that sees", "llama"),
)  # fmt: skip


def refusal(name: str, architectures: list[str]) -> str:
    """What to say of a model_type that is not one of `FAMILIES`: what it is, why not, and what to choose."""
    told = f"architecture {', '.join(architectures) or 'unnamed'} (model_type {name}) is not supported"
    for start, why, near in _NEAREST:
        if name.startswith(start):
            return f"{told}, being {why}: choose a model of {FAMILIES[near].architecture} ({near}), the nearest that is"
    known = ", ".join(f"{family.architecture} ({key})" for key, family in FAMILIES.items())
    return f"{told}: choose a model of {known}"
