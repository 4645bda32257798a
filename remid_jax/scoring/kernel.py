"""The compiled steps: packed rows in, log-probabilities of their scored tokens or vectors of their texts out."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import TokenTree, bind
from remid_jax.scoring.head import Asked, ask

KERNEL_VERSION = 3  # part of every store key: raised when a change here, in head or decoder moves more than the last bits


class Batch(NamedTuple):
    """Rows of one bucket. `targets[b, m]` is a scored token and `parents[b, m]` the slot that predicts it, for m below
    `scored[b]`; the rest is filler."""

    tokens: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    parents: Int[Array, "B T"]
    targets: Int[Array, "B T"]
    scored: Int[Array, " B"]


class Texts(NamedTuple):
    """Rows of one bucket that hold up to M texts each; `shares[b, m, t]` is what slot t counts in text m of row b."""

    tokens: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    shares: Float[Array, "B M T"]


def score_batch(config: DecoderConfig, params: nnx.State, batch: Batch) -> Float[Array, "B T"]:
    """Log-probabilities, nats, of `batch.targets`, the head applied at scored positions only; see `remid_jax.scoring.head`."""
    return _ask(config, "logprobs", params, batch)[0]


def rank_batch(config: DecoderConfig, params: nnx.State, batch: Batch) -> Float[Array, "B T 3"]:
    """What `score_batch` gives, and of the likeliest token in the same place its log-probability and its id (exact to 2^24)."""
    return jnp.stack(_ask(config, "best", params, batch), axis=-1)


def _ask(config: DecoderConfig, asked: Asked, params: nnx.State, batch: Batch) -> tuple[Array, ...]:
    model = bind(config, params)
    hidden = model(batch.tokens, TokenTree(batch.positions, batch.ends))
    return ask(config, asked, at_parents(hidden, batch.parents), model.words, batch.targets, batch.scored)


def at_parents(hidden: Float[Array, "B T D"], parents: Int[Array, "B M"]) -> Float[Array, "B M D"]:
    """The hidden states that predict the scored tokens."""
    return jnp.take_along_axis(hidden, parents[:, :, None], axis=1)


def embed_batch(config: DecoderConfig, params: nnx.State, batch: Texts) -> Float[Array, "B M D"]:
    """Final hidden states, after the last norm, averaged over each text by its `shares`; float32."""
    hidden = bind(config, params)(batch.tokens, TokenTree(batch.positions, batch.ends))
    return jnp.einsum("bmt,btd->bmd", batch.shares, hidden, precision=jax.lax.Precision.HIGHEST)
