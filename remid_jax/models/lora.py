"""LoRA: trainable low-rank matrices beside the frozen ones of a decoder, and how the two are told apart."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt32

from remid_jax.models.config import TARGETS, LoRAConfig
from remid_jax.models.matrices import project

Keys = UInt32[Array, "B 2"] | None  # random keys, one a row; None drops nothing


class LoRAParam(nnx.Param):
    """A parameter of an adapter; all others are the base's."""


class LoRA(nnx.Module):
    """alpha / rank * B A dropout(x), float32; zero until it is trained, as B begins at zero."""

    def __init__(self, inputs: int, outputs: int, target: str, config: LoRAConfig, rngs: nnx.Rngs):
        bound = inputs**-0.5
        self.a = LoRAParam(jax.random.uniform(rngs.params(), (inputs, config.rank), minval=-bound, maxval=bound))
        self.b = LoRAParam(jnp.zeros((config.rank, outputs)))
        self.weights_first = False
        self.scale, self.rate, self.number = config.alpha / config.rank, config.dropout, TARGETS.index(target)

    def __call__(self, x: Float[Array, "B T inputs"], dropout: Keys = None) -> Float[Array, "B T outputs"]:
        if dropout is not None and self.rate > 0:
            x = x * _kept(fold_in(dropout, self.number), self.rate, x.shape[1:])
        low = project(x, self.a[...], self.weights_first)
        return project(low, self.b[...], self.weights_first) * self.scale


def fold_in(keys: UInt32[Array, "B 2"], number: int | Array) -> UInt32[Array, "B 2"]:
    """The rows' keys for one layer, or one module."""
    return jax.vmap(lambda key: jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(key), number)))(keys)


def _kept(keys: UInt32[Array, "B 2"], rate: float, shape: tuple[int, ...]) -> Float[Array, " B *shape"]:
    """1 / (1 - rate) where an input stays, 0 where it is dropped; a row's draws depend on its own key alone."""
    keep = jax.vmap(lambda key: jax.random.bernoulli(jax.random.wrap_key_data(key), 1 - rate, shape))(keys)
    return keep / (1 - rate)
