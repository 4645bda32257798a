"""Attention of short rows: blocks of queries, each against all keys up to its end, one after the other in the program."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from remid_jax.models.attention.visibility import visible
from remid_jax.models.matrices import contract

QUERIES = 128  # of a block: skips nearly half of the products


def attend_triangle(
    q: Float[Array, "B N T H"],
    k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"],
    positions: Int[Array, "B T"],
    ends: Int[Array, "B T"],
    window: Int[Array, ""] | None,
    scale: float,
    softcap: float | None,
) -> Float[Array, "B T NH"]:
    """What each token takes from those it sees, the heads side by side. The program grows with T."""
    length = q.shape[2]
    mixed = []
    for first in range(0, length, QUERIES):
        last = min(first + QUERIES, length)
        slots = jnp.arange(last)
        seen = visible(
            slots[None, first:, None], positions[:, first:last, None],
            slots[None, None], positions[:, None, :last], ends[:, None, :last], window,
        )  # fmt: skip
        mixed.append(_attend(q[:, :, first:last], k[:, :, :last], v[:, :, :last], seen, scale, softcap))
    return jnp.concatenate(mixed, axis=1)


def _attend(q: Array, k: Array, v: Array, seen: Bool[Array, "B T S"], scale: float, softcap: float | None) -> Array:
    b, heads, t, size = q.shape
    # The queries of one key head form one matrix: batched products of plain matrices, which every backend does fast.
    logits = capped(contract("bkmh,bksh->bkms", q.reshape(b, k.shape[1], -1, size), k), scale, softcap)
    logits = logits.reshape(b, k.shape[1], -1, t, k.shape[2])
    logits = jnp.where(seen[:, None, None], logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1).reshape(b, k.shape[1], -1, k.shape[2])
    mixed = contract("bkms,bksh->bkmh", weights, v).reshape(b, heads, t, size)
    return mixed.swapaxes(1, 2).reshape(b, t, heads * size)


def capped(products: Array, scale: float, softcap: float | None) -> Array:
    """Logits of the products of queries and keys."""
    logits = products * scale
    return logits if softcap is None else jnp.tanh(logits / softcap) * softcap
