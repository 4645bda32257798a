"""Attention of long rows in pairs of blocks: their layout, and a way to run them in plain JAX, a program of constant size.

No [T, T] array, and blocks that no query sees are skipped. `remid_jax.models.attention.fused` has other ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from remid_jax.models.attention.softmax import Manner, State, absorb, finish, nothing, slopes
from remid_jax.models.attention.triangle import capped
from remid_jax.models.attention.visibility import strips, visible, visible_blocks
from remid_jax.models.matrices import contract, rounded

WIDTHS = (4, 2, 1)  # blocks of keys side by side that are taken at once: four take a CPU little longer than two one by one


S = TypeVar("S")


class Blocks(NamedTuple):
    """The tree of padded rows, and for each block of queries the strips of key blocks that any row needs: of each of `WIDTHS`
    the first blocks, and how many strips there are."""

    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    window: Int[Array, ""] | None
    strips: tuple[tuple[Int[Array, "Q Q"], Int[Array, " Q"]], ...]

    @property
    def widths(self) -> list[int]:
        """Of the strips."""
        return fitting(len(self.strips[0][1]))


def fitting(count: int) -> list[int]:
    """The widths of strips in a row of so many blocks."""
    return [width for width in WIDTHS if width <= count]


Mix = Callable[[Manner, Array, Array, Array, Blocks], Array]


def differentiable(forward: Callable[..., tuple[Array, Array]], backward: Callable[..., tuple[Array, Array, Array]]) -> Mix:
    """What blocks of queries [Q, B, K, M, H] take of keys and values [B, K, T, H], float32, by one way to run it.

    M counts the slots of a block for each query head of a key head. `forward` takes the arguments of the mix and gives also
    the log-sums of logits [Q, B, K, M, 1]; `backward` takes, after the same arguments, what forward gave and the gradient of
    the mix, and gives those of q, k and v.
    """

    def mix(manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks) -> Array:
        return forward(manner, q, k, v, blocks)[0]

    def keep(manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks) -> tuple[Array, tuple]:
        mixed, log_sums = forward(manner, q, k, v, blocks)
        return mixed, (q, k, v, blocks, mixed, log_sums)

    def back(manner: Manner, kept: tuple, change: Array) -> tuple[Array, Array, Array, None]:
        return *backward(manner, *kept, change), None

    found = jax.custom_vjp(mix, nondiff_argnums=(0,))
    found.defvjp(keep, back)
    return found


def forward_plain(
    manner: Manner, q: Float[Array, "Q B K M H"], k: Float[Array, "B K T H"], v: Float[Array, "B K T H"], blocks: Blocks
) -> tuple[Float[Array, "Q B K M H"], Float[Array, "Q B K M 1"]]:
    """As `differentiable` wants it, on any backend."""

    def one(_: None, given: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        number, queries = given

        def add(where: Array, width: int, state: State) -> State:
            logits, seen = _logits(manner, queries, _cut(k, where, manner.block, width), blocks, number, where)

            def mix(weights: Array) -> Array:
                weights = weights.reshape(*queries.shape[:-1], -1)
                return _flat(contract("bkms,bksh->bkmh", weights, _cut(v, where, manner.block, width)))

            return absorb(state, logits, seen, mix)

        mixed, log_sums = finish(_over_strips(blocks, number, add, nothing(_flat(queries).shape)))
        return None, (mixed.reshape(queries.shape), log_sums.reshape(*queries.shape[:-1], 1))

    return jax.lax.scan(one, None, (jnp.arange(len(q)), q))[1]


def backward_plain(
    manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks, mixed: Array, log_sums: Array, change: Array
) -> tuple[Array, Array, Array]:
    """As `differentiable` wants it, on any backend."""

    def one(sums: tuple[Array, Array], given: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        number, queries, changed, mix, log_sum = given
        common = _flat((changed * mix).sum(axis=-1, keepdims=True))
        low, log_sum = rounded(changed, v.dtype), _flat(log_sum)

        def add(where: Array, width: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            to_q, to_k, to_v = state
            keys, values = _cut(k, where, manner.block, width), _cut(v, where, manner.block, width)
            logits, seen = _logits(manner, queries, keys, blocks, number, where)
            to_weights = _flat(contract("bkmh,bksh->bkms", low, values))
            weights, found = slopes(manner, logits, seen, log_sum, to_weights, common)
            weights, found = (a.reshape(*queries.shape[:-1], -1) for a in (weights, found))
            to_q = to_q + contract("bkms,bksh->bkmh", found, keys)
            to_k = _add(to_k, contract("bkms,bkmh->bksh", found, queries), where, manner.block)
            return to_q, to_k, _add(to_v, contract("bkms,bkmh->bksh", weights, low), where, manner.block)

        start = (jnp.zeros(queries.shape, jnp.float32), *sums)
        to_q, to_k, to_v = _over_strips(blocks, number, add, start)
        return (to_k, to_v), to_q.astype(q.dtype)

    none = jnp.zeros(k.shape, jnp.float32)
    given = (jnp.arange(len(q)), q, change, mixed, log_sums)
    (to_k, to_v), to_q = jax.lax.scan(one, (none, none), given)
    return to_q, to_k.astype(k.dtype), to_v.astype(v.dtype)


mix_plain = differentiable(forward_plain, backward_plain)


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
    mix: Mix = mix_plain,
) -> Float[Array, "B T NH"]:
    """As `attend_triangle`; a token that sees none takes zeros."""
    length = q.shape[2]
    fill = -length % block
    q, k, v = (jnp.pad(a, ((0, 0), (0, 0), (0, fill), (0, 0))) for a in (q, k, v))
    positions, ends = (jnp.pad(a, ((0, 0), (0, fill))) for a in (positions, ends))
    seen = visible_blocks(positions, ends, window, block).any(axis=0)
    b, heads, whole, size = q.shape
    queries = q.reshape(b, k.shape[1], heads // k.shape[1], whole // block, block, size).transpose(3, 0, 1, 2, 4, 5)
    queries = queries.reshape(whole // block, b, k.shape[1], -1, size)
    mixed = mix(Manner(scale, softcap, block), queries, k, v, Blocks(positions, ends, window, strips(seen, fitting(len(seen)))))
    mixed = mixed.reshape(whole // block, b, k.shape[1], -1, block, size).transpose(1, 0, 4, 2, 3, 5)
    return mixed.reshape(b, whole, heads * size)[:, :length]


def _over_strips(blocks: Blocks, number: Array, add: Callable[[Array, int, S], S], start: S) -> S:
    """`start` with all strips that queries of a block need: `add` takes a strip's first block and width, and the state."""
    state = start
    for width, (order, counts) in zip(blocks.widths, blocks.strips, strict=True):
        state = jax.lax.fori_loop(0, counts[number], lambda n, s, o=order, w=width: add(o[number, n], w, s), state)
    return state


def _logits(manner: Manner, queries: Array, keys: Array, blocks: Blocks, number: Array, where: Array) -> tuple[Array, Array]:
    """Logits [BKM, S] of a block of queries and a strip of keys, and who sees whom, of the same shape."""
    slots, along = jnp.arange(manner.block), jnp.arange(keys.shape[2])
    first, start = number * manner.block, where * manner.block
    seen = visible(
        (first + slots)[None, :, None],
        jax.lax.dynamic_slice_in_dim(blocks.positions, first, manner.block, 1)[:, :, None],
        (start + along)[None, None],
        jax.lax.dynamic_slice_in_dim(blocks.positions, start, len(along), 1)[:, None],
        jax.lax.dynamic_slice_in_dim(blocks.ends, start, len(along), 1)[:, None],
        blocks.window,
    )
    logits = capped(contract("bkmh,bksh->bkms", queries, keys), manner.scale, manner.softcap)
    rows, heads = len(seen), logits.shape[1] * logits.shape[2] // manner.block
    seen = jnp.broadcast_to(seen[:, None], (rows, heads, *seen.shape[1:]))
    return _flat(logits), _flat(seen)


def _flat(a: Array) -> Array:
    """One row for each query of each head: a CPU parts the first axis among its cores, and of three heads two would wait."""
    return a.reshape(-1, a.shape[-1])


def _cut(a: Array, number: Array, block: int, width: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(a, number * block, width * block, 2)


def _add(sums: Array, more: Array, number: Array, block: int) -> Array:
    whole = _cut(sums, number, block, more.shape[2] // block) + more
    return jax.lax.dynamic_update_slice_in_dim(sums, whole, number * block, 2)
