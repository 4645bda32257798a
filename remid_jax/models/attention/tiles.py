"""What the fused kernels of all accelerators share: the tree they are given, the lists of blocks they walk over, products."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from remid_jax.models.attention.softmax import Manner
from remid_jax.models.attention.triangle import capped
from remid_jax.models.attention.visibility import listed, visible_blocks


class Tree(NamedTuple):
    """Padded rows; `window` None is none."""

    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    window: Int[Array, ""] | None

    def seen(self, block: int, keys: int) -> Bool[Array, "B Q S"]:
        """Whether a query of a block of `block` slots may see a key of one of `keys`, a multiple."""
        seen = visible_blocks(self.positions, self.ends, self.window, block)
        return seen.reshape(*seen.shape[:2], -1, keys // block).any(axis=-1)


def walk(seen: Bool[Array, "*shape S"]) -> tuple[Int[Array, "*shape S"], Int[Array, "*shape"]]:
    """As `listed`, the last number of a list again and again behind it: a block that stays is not fetched again."""
    order, counts = listed(seen)
    reached = jnp.minimum(jnp.arange(order.shape[-1]), jnp.maximum(counts - 1, 0)[..., None])
    return jnp.take_along_axis(order, reached, axis=-1), counts


def times(a: Float[Array, "A C"], b: Float[Array, "C S"]) -> Float[Array, "A S"]:
    """a @ b with operands in b's dtype and float32 accumulation, as `remid_jax.models.matrices.contract`."""
    return _product(a, b, 0)


def logits_of(manner: Manner, a: Float[Array, "A H"], b: Float[Array, "S H"]) -> Float[Array, "A S"]:
    """The logits of a tile of queries and one of keys, in either order."""
    return capped(times_rows(a, b), manner.scale, manner.softcap)


def times_rows(a: Float[Array, "A C"], b: Float[Array, "S C"]) -> Float[Array, "A S"]:
    """As `times`, for b transposed."""
    return _product(a, b, 1)


def _product(a: Array, b: Array, axis: int) -> Array:
    precision = jax.lax.Precision.HIGHEST if b.dtype == jnp.float32 else None
    return jax.lax.dot_general(
        a.astype(b.dtype), b, (((1,), (axis,)), ((), ())), precision=precision, preferred_element_type=jnp.float32
    )
