"""Attention of long rows in pairs of blocks, in plain JAX: a program of constant size, no [T, T] array, unseen blocks skipped.

The softmax is taken as it comes: a block of queries walks over the blocks of keys that it sees and keeps the greatest logit so
far, the sum of exponentials below it, and the mix that goes with them (arXiv 2205.14135, 2307.08691). The backward pass
computes the logits again from their log-sums.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from remid_jax.models.attention.triangle import capped
from remid_jax.models.attention.visibility import listed, visible, visible_blocks
from remid_jax.models.matrices import contract

LEAST = jnp.finfo(jnp.float32).min


class Manner(NamedTuple):
    """How logits are made, and how many slots a block has."""

    scale: float
    softcap: float | None
    block: int


class Blocks(NamedTuple):
    """The tree of padded rows, and for each block of queries the blocks of keys that any row needs."""

    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    window: Int[Array, ""] | None
    order: Int[Array, "Q Q"]
    counts: Int[Array, " Q"]


def attend_blocks(
    q: Float[Array, "B N T H"],
    k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"],
    positions: Int[Array, "B T"],
    ends: Int[Array, "B T"],
    window: Int[Array, ""] | None,
    scale: float,
    softcap: float | None,
    block: int,
) -> Float[Array, "B T NH"]:
    """As `attend_triangle`; a token that sees none takes zeros."""
    length = q.shape[2]
    fill = -length % block
    q, k, v = (jnp.pad(a, ((0, 0), (0, 0), (0, fill), (0, 0))) for a in (q, k, v))
    positions, ends = (jnp.pad(a, ((0, 0), (0, fill))) for a in (positions, ends))
    order, counts = listed(visible_blocks(positions, ends, window, block).any(axis=0))
    b, heads, whole, size = q.shape
    queries = q.reshape(b, k.shape[1], heads // k.shape[1], whole // block, block, size).transpose(3, 0, 1, 2, 4, 5)
    queries = queries.reshape(whole // block, b, k.shape[1], -1, size)
    mixed = _mix(Manner(scale, softcap, block), queries, k, v, Blocks(positions, ends, window, order, counts))
    mixed = mixed.reshape(whole // block, b, k.shape[1], -1, block, size).transpose(1, 0, 4, 2, 3, 5)
    return mixed.reshape(b, whole, heads * size)[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mix(manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks) -> Array:
    return _forward(manner, q, k, v, blocks)[0]


def _forward(manner: Manner, q: Float[Array, "Q B K M H"], k: Array, v: Array, blocks: Blocks) -> tuple[Array, tuple]:
    def one(_: None, given: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        number, queries = given

        def add(n: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            greatest, total, mix = state
            where = blocks.order[number, n]
            logits, seen = _logits(manner, queries, _cut(k, where, manner.block), blocks, number, where)
            logits = jnp.where(seen, logits, LEAST)
            higher = jnp.maximum(greatest, logits.max(axis=-1, keepdims=True))
            weights, shrink = jnp.where(seen, jnp.exp(logits - higher), 0.0), jnp.exp(greatest - higher)
            mix = mix * shrink + contract("bkms,bksh->bkmh", weights, _cut(v, where, manner.block))
            return higher, total * shrink + weights.sum(axis=-1, keepdims=True), mix

        column = (*queries.shape[:-1], 1)
        nothing = jnp.full(column, LEAST), jnp.zeros(column), jnp.zeros(queries.shape, jnp.float32)
        greatest, total, mix = jax.lax.fori_loop(0, blocks.counts[number], add, nothing)
        total = jnp.where(total > 0, total, 1.0)
        return None, (mix / total, greatest + jnp.log(total))

    _, (mixed, log_sums) = jax.lax.scan(one, None, (jnp.arange(len(q)), q))
    return mixed, (q, k, v, blocks, mixed, log_sums)


def _backward(manner: Manner, kept: tuple, change: Float[Array, "Q B K M H"]) -> tuple[Array, Array, Array, None]:
    q, k, v, blocks, mixed, log_sums = kept

    def one(sums: tuple[Array, Array], given: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        number, queries, changed, mix, log_sum = given
        common = (changed * mix).sum(axis=-1, keepdims=True)
        low = changed.astype(v.dtype)

        def add(n: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            to_q, to_k, to_v = state
            where = blocks.order[number, n]
            keys, values = _cut(k, where, manner.block), _cut(v, where, manner.block)
            logits, seen = _logits(manner, queries, keys, blocks, number, where)
            weights = jnp.where(seen, jnp.exp(logits - log_sum), 0.0)
            slopes = weights * (contract("bkmh,bksh->bkms", low, values) - common) * manner.scale
            if manner.softcap is not None:
                slopes = slopes * (1 - (logits / manner.softcap) ** 2)
            to_q = to_q + contract("bkms,bksh->bkmh", slopes, keys)
            to_k = _add(to_k, contract("bkms,bkmh->bksh", slopes, queries), where, manner.block)
            return to_q, to_k, _add(to_v, contract("bkms,bkmh->bksh", weights, low), where, manner.block)

        start = (jnp.zeros(queries.shape, jnp.float32), *sums)
        to_q, to_k, to_v = jax.lax.fori_loop(0, blocks.counts[number], add, start)
        return (to_k, to_v), to_q.astype(q.dtype)

    none = jnp.zeros(k.shape, jnp.float32)
    given = (jnp.arange(len(q)), q, change, mixed, log_sums)
    (to_k, to_v), to_q = jax.lax.scan(one, (none, none), given)
    return to_q, to_k.astype(k.dtype), to_v.astype(v.dtype), None


_mix.defvjp(_forward, _backward)


def _logits(manner: Manner, queries: Array, keys: Array, blocks: Blocks, number: Array, where: Array) -> tuple[Array, Array]:
    """Logits [B, K, M, S] of a block of queries and one of keys, and who sees whom, of the same shape."""
    slots = jnp.arange(manner.block)
    first, start = number * manner.block, where * manner.block
    seen = visible(
        (first + slots)[None, :, None],
        jax.lax.dynamic_slice_in_dim(blocks.positions, first, manner.block, 1)[:, :, None],
        (start + slots)[None, None],
        jax.lax.dynamic_slice_in_dim(blocks.positions, start, manner.block, 1)[:, None],
        jax.lax.dynamic_slice_in_dim(blocks.ends, start, manner.block, 1)[:, None],
        blocks.window,
    )
    logits = capped(contract("bkmh,bksh->bkms", queries, keys), manner.scale, manner.softcap)
    shape = (*logits.shape[:2], logits.shape[2] // manner.block, *seen.shape[1:])
    return logits, jnp.broadcast_to(seen[:, None, None], shape).reshape(logits.shape)


def _cut(a: Array, number: Array, block: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(a, number * block, block, 2)


def _add(sums: Array, more: Array, number: Array, block: int) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(sums, _cut(sums, number, block) + more, number * block, 2)
