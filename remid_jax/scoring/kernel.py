"""The compiled steps: packed rows in, log-probabilities of their scored tokens or vectors of their texts out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import Decoder, TokenTree, bind
from remid_jax.models.sampling import largest

KERNEL_VERSION = 3  # part of every store key: raise it when a change here or in the decoder changes more than the last bits
HEAD_ELEMENTS = 2**25  # logits alive at once (128 MiB in float32); [B, T, V] never exists


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


def head_chunk(batch: int, vocab_size: int) -> int:
    """How many scored positions a row the head takes at a time: a power of two within 8 .. 128."""
    wanted = HEAD_ELEMENTS // (batch * vocab_size)
    return min(128, max(8, 1 << max(wanted, 1).bit_length() - 1))


def score_batch(config: DecoderConfig, chunk: int, params: nnx.State, batch: Batch) -> Float[Array, "B T"]:
    """Log-probabilities, nats, of `batch.targets`; 0 where a whole chunk is filler.

    log q(y_t | x, y_<t) = logit[y_t] - logsumexp(logits), the head applied at scored positions only, `chunk` a row at a time,
    in float32.
    """
    model = bind(config, params)
    hidden = model(batch.tokens, TokenTree(batch.positions, batch.ends))
    return token_logprobs(model, chunk, hidden, batch.parents, batch.targets, batch.scored)


def rank_batch(config: DecoderConfig, chunk: int, params: nnx.State, batch: Batch) -> Float[Array, "B T 3"]:
    """What `score_batch` gives, and of the likeliest token in the same place its log-probability and its id (exact to 2^24)."""
    model = bind(config, params)
    hidden = model(batch.tokens, TokenTree(batch.positions, batch.ends))

    def measure(logits: Array, targets: Array) -> tuple[Array, Array, Array]:
        log_z = jax.nn.logsumexp(logits, axis=-1)
        ids = jax.vmap(largest)(logits)
        return _chosen(logits, targets) - log_z, _chosen(logits, ids) - log_z, ids.astype(jnp.float32)

    return jnp.stack(_blockwise(model, chunk, hidden, batch.parents, batch.targets, batch.scored, measure, 3), axis=-1)


def embed_batch(config: DecoderConfig, params: nnx.State, batch: Texts) -> Float[Array, "B M D"]:
    """Final hidden states, after the last norm, averaged over each text by its `shares`; float32."""
    hidden = bind(config, params)(batch.tokens, TokenTree(batch.positions, batch.ends))
    return jnp.einsum("bmt,btd->bmd", batch.shares, hidden, precision=jax.lax.Precision.HIGHEST)


def token_logprobs(
    model: Decoder,
    chunk: int,
    hidden: Float[Array, "B T D"],
    parents: Int[Array, "B M"],
    targets: Int[Array, "B M"],
    scored: Int[Array, " B"],
) -> Float[Array, "B M"]:
    """Blockwise log-softmax at `targets` given the hidden states at `parents`."""

    def measure(logits: Array, targets: Array) -> tuple[Array]:
        return (_chosen(logits, targets) - jax.nn.logsumexp(logits, axis=-1),)

    return _blockwise(model, chunk, hidden, parents, targets, scored, measure, 1)[0]


def token_statistics(
    model: Decoder,
    chunk: int,
    hidden: Float[Array, "B T D"],
    parents: Int[Array, "B M"],
    targets: Int[Array, "B M"],
    scored: Int[Array, " B"],
) -> tuple[Float[Array, "B M"], Float[Array, "B M"]]:
    """(log-probabilities of `targets`, entropies of the distributions they were drawn from), for gradients: logits are computed
    again in the backward pass, not kept."""

    def measure(logits: Array, targets: Array) -> tuple[Array, Array]:
        log_z = jax.nn.logsumexp(logits, axis=-1)
        entropy = log_z - (jnp.exp(logits - log_z[..., None]) * logits).sum(-1)
        return _chosen(logits, targets) - log_z, entropy

    logprobs, entropies = _blockwise(model, chunk, hidden, parents, targets, scored, measure, 2)
    return logprobs, entropies


def _chosen(logits: Float[Array, "B C V"], targets: Int[Array, "B C"]) -> Float[Array, "B C"]:
    return jnp.take_along_axis(logits, targets[:, :, None], axis=2)[:, :, 0]


def _blockwise(
    model: Decoder, chunk: int, hidden: Array, parents: Array, targets: Array, scored: Array,
    measure: Callable[[Array, Array], tuple[Array, ...]], outputs: int,
) -> tuple[Array, ...]:  # fmt: skip
    """`measure(logits [B, chunk, V], targets [B, chunk])`, block by block, put together to [B, M]; 0 where no row has any."""
    rows, length = targets.shape
    chunks, longest = -(-length // chunk), jnp.max(scored)

    def blocks(a: Array) -> Array:
        return jnp.pad(a, ((0, 0), (0, chunks * chunk - length))).reshape(rows, chunks, chunk).swapaxes(0, 1)

    @jax.checkpoint
    def compute(parents: Array, targets: Array) -> tuple[Array, ...]:
        return measure(model.logits(jnp.take_along_axis(hidden, parents[:, :, None], axis=1)), targets)

    def nothing(parents: Array, targets: Array) -> tuple[Array, ...]:
        return (jnp.zeros((rows, chunk), jnp.float32),) * outputs

    def step(first: Array, block: tuple[Array, Array]) -> tuple[Array, tuple[Array, ...]]:
        return first + chunk, jax.lax.cond(first < longest, compute, nothing, *block)

    _, found = jax.lax.scan(step, jnp.int32(0), (blocks(parents), blocks(targets)))
    return tuple(a.swapaxes(0, 1).reshape(rows, chunks * chunk)[:, :length] for a in found)
