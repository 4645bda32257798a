"""One new token a row: what a reply takes after its prompt.

Decoding reads all weights for a few rows, so it is as fast as they are read. The layers are therefore unrolled, each with its
own arrays (a scan would copy every layer's weights out of the stack before using them), and every row's keys and values lie in
slots of its own, written in place: a row's numbers depend on nobody beside it, but for rounding.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import Decoder, Layer, Linear
from remid_jax.models.lora import LoRA
from remid_jax.models.matrices import on_cpu, turned
from remid_jax.models.rope import angles

Layers = tuple[nnx.State, ...]


class Cache(NamedTuple):
    """Keys [R, K, H, S] and values [R, K, S, H] of every layer, rounded to the weights' dtype."""

    keys: tuple[Array, ...]
    values: tuple[Array, ...]


def cache_dtype(dtype: Any) -> Any:
    """In what keys and values are kept: on CPU in float32, since writing one bfloat16 there converts the whole array twice."""
    return jnp.dtype("float32") if on_cpu() else dtype


def empty_cache(config: DecoderConfig, rows: int, slots: int, dtype: Any) -> Cache:
    """A cache of zeros, for a model of this dtype."""
    dtype = cache_dtype(dtype)

    def zeros(*shape: int) -> tuple[Array, ...]:
        return tuple(jnp.zeros((rows, config.kv_heads, *shape), dtype) for _ in range(config.layers))

    return Cache(zeros(config.head_size, slots), zeros(slots, config.head_size))


def unstacked(config: DecoderConfig, params: nnx.State) -> Layers:
    """Each layer's own arrays, matrices as decoding wants them: see `remid_jax.models.matrices.turned`."""

    def own(stacked: Array, layer: int) -> Array:
        return stacked[layer].T if stacked.ndim == 3 and turned(stacked.dtype) else stacked[layer]

    return tuple(jax.tree.map(functools.partial(own, layer=n), params["layers"]) for n in range(config.layers))


@functools.lru_cache(maxsize=16)
def _layer_graph(config: DecoderConfig, weights_first: bool) -> nnx.GraphDef:
    """The graph definition of a layer whose matrices are as decoding has them: see `remid_jax.models.matrices.turned`."""

    def layer() -> Layer:
        made = Layer(config, nnx.Rngs(0))
        for _, module in nnx.iter_modules(made):
            if isinstance(module, Linear):
                module.weights_first = weights_first
            elif isinstance(module, LoRA):
                module.weights_first = True
        return made

    return nnx.split(nnx.eval_shape(layer))[0]


def decode_tokens(
    model: Decoder, layers: Layers, cache: Cache, tokens: Int[Array, " R"], slots: Int[Array, " R"]
) -> tuple[Float[Array, "R V"], Cache]:
    """Logits behind `tokens`, each of which stands in its row's slot, and the cache with their keys and values in it.

    A token sees the slots up to its own, in sliding layers those fewer than the window away.
    """
    c, rows, weights_first = model.config, jnp.arange(len(tokens)), turned(model.embedding[...].dtype)
    away = slots[:, None] - jnp.arange(cache.keys[0].shape[-1])[None]
    everywhere = angles(c.rope, c.head_size, slots[:, None])
    nearby = angles(c.local_rope or c.rope, c.head_size, slots[:, None])
    nowhere = (jnp.ones_like(everywhere[0]), jnp.zeros_like(everywhere[1]))
    x, keys, values = model.embed(tokens[:, None]), list(cache.keys), list(cache.values)
    for n, state in enumerate(layers):
        layer = nnx.merge(_layer_graph(c, weights_first), state)
        slides = c.has_sliding_layers and c.sliding_layers[n]
        turns = nowhere if c.turned_layers and not c.turned_layers[n] else nearby if slides else everywhere
        q, k, v = layer.project(x, *turns, None)
        keys[n] = keys[n].at[rows, :, :, slots].set(k[:, :, 0].astype(keys[n].dtype))
        values[n] = values[n].at[rows, :, slots].set(v[:, :, 0].astype(values[n].dtype))
        visible = (away >= 0) & (away < c.sliding_window) if slides and c.sliding_window is not None else away >= 0
        mixed = layer.attention.attend_cached(q, keys[n], values[n], visible)
        x = layer.add_mlp(layer.add_attention(x, mixed, None), None)
    logits = model.logits(model.final_norm(x), weights_first)[:, 0]
    return logits, Cache(tuple(keys), tuple(values))
