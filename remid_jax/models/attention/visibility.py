"""Who sees whom in a row that holds a token tree, for single slots and for blocks of them.

The token in slot t sees the token in slot s iff s <= t < ends[s]; with a window also positions[t] - positions[s] < window.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

UNLIMITED = jnp.iinfo(jnp.int32).max  # a window that no distance reaches, for the whole layers of a model with sliding ones


def visible(
    query_slots: Int[Array, "*T"],
    query_positions: Int[Array, "*T"],
    key_slots: Int[Array, "*S"],
    key_positions: Int[Array, "*S"],
    key_ends: Int[Array, "*S"],
    window: Int[Array, ""] | None,
) -> Bool[Array, "*TS"]:
    """The rule above, for arrays that broadcast against each other."""
    seen = (key_slots <= query_slots) & (query_slots < key_ends)
    return seen if window is None else seen & (query_positions - key_positions < window)


def visible_blocks(
    positions: Int[Array, "B T"], ends: Int[Array, "B T"], window: Int[Array, ""] | None, block: int
) -> Bool[Array, "B Q S"]:
    """Whether a query of block q may see a key of block s: true for every pair of blocks that holds a pair of the rule.

    `block` slots form a block and divide T.
    """
    rows, count = len(ends), ends.shape[1] // block
    number = jnp.arange(count)
    last_end = ends.reshape(rows, count, block).max(axis=2)
    seen = (number[None, :] <= number[:, None]) & (last_end[:, None, :] > number[:, None] * block)
    if window is None:
        return seen
    blocked = positions.reshape(rows, count, block)
    return seen & (blocked.min(axis=2)[:, :, None] - blocked.max(axis=2)[:, None, :] < window)


def listed(seen: Bool[Array, "*shape S"]) -> tuple[Int[Array, "*shape S"], Int[Array, "*shape"]]:
    """The numbers of the blocks that are seen, in order and before all others, and how many they are."""
    return jnp.argsort(~seen, axis=-1, stable=True).astype(jnp.int32), seen.sum(axis=-1, dtype=jnp.int32)


def strips(
    seen: Bool[Array, "*shape S"], widths: Sequence[int]
) -> tuple[tuple[Int[Array, "*shape S"], Int[Array, "*shape"]], ...]:
    """Parts runs of blocks that are seen into strips of so many, as `listed` the first blocks of each width.

    Each of `widths`, largest first, divides the one before it, and the last is 1. A run begins with the widest that it holds.
    """
    blocks, axis = jnp.arange(seen.shape[-1]), seen.ndim - 1
    place = blocks - jax.lax.cummax(jnp.where(seen, -1, blocks), axis=axis) - 1
    left = jax.lax.cummin(jnp.where(seen, len(blocks), blocks), axis=axis, reverse=True) - blocks
    found, wider = [], None
    for width in widths:
        first = seen & (place % width == 0) & (left >= width)
        if wider is not None:
            first &= place % wider + left < wider  # else it lies in a strip of that width
        found.append(listed(first))
        wider = width
    return tuple(found)
