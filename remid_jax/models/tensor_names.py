"""Hugging Face's names for our parameters: which tensors of a model's files hold which of them, and how."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import NamedTuple

import jax

from remid_jax.errors import UserError
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import structure
from remid_jax.parallel import path_name

EMBEDDING, HEAD = "model.embed_tokens", "lm_head"
# Our modules -> Hugging Face's; "{layer}" stands where we stack. A kernel is the transpose of their [out, in] weight.
MODULES = {
    "embedding": EMBEDDING,
    "head": HEAD,
    "final_norm": "model.norm",
    "layers/attention_norm": "model.layers.{layer}.input_layernorm",
    "layers/attention/query": "model.layers.{layer}.self_attn.q_proj",
    "layers/attention/key": "model.layers.{layer}.self_attn.k_proj",
    "layers/attention/value": "model.layers.{layer}.self_attn.v_proj",
    "layers/attention/output": "model.layers.{layer}.self_attn.o_proj",
    "layers/attention/query_norm": "model.layers.{layer}.self_attn.q_norm",
    "layers/attention/key_norm": "model.layers.{layer}.self_attn.k_norm",
    "layers/mlp_norm": "model.layers.{layer}.post_attention_layernorm",
    "layers/mlp/gate": "model.layers.{layer}.mlp.gate_proj",
    "layers/mlp/up": "model.layers.{layer}.mlp.up_proj",
    "layers/mlp/down": "model.layers.{layer}.mlp.down_proj",
}
# Where attention and MLP have a norm behind them, the one behind attention takes the name of the one before the MLP.
POST_NORMS = {
    "layers/attention_post_norm": "model.layers.{layer}.post_attention_layernorm",
    "layers/mlp_norm": "model.layers.{layer}.pre_feedforward_layernorm",
    "layers/mlp_post_norm": "model.layers.{layer}.post_feedforward_layernorm",
}
# Phi's, whose rows are those of several of our modules, in this order.
FUSED = dict.fromkeys(
    ("layers/attention/query", "layers/attention/key", "layers/attention/value"), "model.layers.{layer}.self_attn.qkv_proj"
) | dict.fromkeys(("layers/mlp/gate", "layers/mlp/up"), "model.layers.{layer}.mlp.gate_up_proj")
# Tensors without a meaning for text: tables that older versions saved, and the eyes of Gemma 3's multimodal models.
IGNORED = re.compile(r"\.rotary_emb\.inv_freq$|(^|\.)(vision_tower|multi_modal_projector)\.")


class Tensors(NamedTuple):
    """The Hugging Face tensors that hold one parameter: stacked along a new first axis, unless `stacked` is False.

    Of each, `shape` is that of the parameter's part, its rows from `first` on; `rows` are how many rows the tensor has in all.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool
    stacked: bool
    first: int
    rows: int


def modules_of(config: DecoderConfig) -> dict[str, str]:
    """Our modules -> Hugging Face's, of this family."""
    return MODULES | (POST_NORMS if config.post_norms else {}) | (FUSED if config.family == "phi3" else {})


def layout(config: DecoderConfig) -> dict[str, Tensors]:
    """For every parameter of the base decoder, by its path as "layers/mlp/up/kernel", the tensors that hold it."""
    modules, found = modules_of(config), {}
    leaves = jax.tree_util.tree_leaves_with_path(structure(dataclasses.replace(config, adapter=None))[1])
    for path, shape in ((path_name(key_path), leaf.shape) for key_path, leaf in leaves):
        module, _, kind = path.rpartition("/") if path not in modules else (path, "", "")
        name = f"{modules[module]}.{'bias' if kind == 'bias' else 'weight'}"
        stacked, transposed = "{layer}" in name, kind == "kernel"
        names = tuple(name.format(layer=layer) for layer in range(config.layers)) if stacked else (name,)
        shape = shape[1:] if stacked else shape
        found[path] = Tensors(names, shape[::-1] if transposed else shape, transposed, stacked, 0, 0)
    rows: dict[str, int] = {}
    for path in sorted(found, key=lambda path: list(modules).index(path if path in modules else path.rpartition("/")[0])):
        parts = found[path]
        found[path] = parts._replace(first=rows.get(parts.names[0], 0))
        rows[parts.names[0]] = found[path].first + parts.shape[0]
    return {path: parts._replace(rows=rows[parts.names[0]]) for path, parts in found.items()}


def canonical(name: str) -> str | None:
    """The name that a language model alone gives to this tensor; None for one that it has no use for."""
    if IGNORED.search(name):
        return None
    name = re.sub(r"^(model\.)?language_model\.", r"\1", name)
    return re.sub(r"^(?=(embed_tokens|layers|norm)\.)", "model.", name)  # a model saved without its head, as encoders are


def check_tensors(config: DecoderConfig, found: Mapping[str, tuple[int, ...]], place: str) -> None:
    """Compares the names and shapes of all tensors with those the architecture needs.

    Raises:
      UserError: naming every tensor that is missing, unknown, or of another shape.
    """
    wanted = {name: (parts.rows, *parts.shape[1:]) for parts in layout(config).values() for name in parts.names}
    misshaped = [
        f"{name} is {list(found[name])}, not {list(shape)}" for name, shape in wanted.items() if found.get(name, shape) != shape
    ]
    faults = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": misshaped,
    }
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
    if listed:
        raise UserError(f"{place}: tensors do not fit config.json: {listed}: mend the config, or fetch the model again")
