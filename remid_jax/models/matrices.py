"""The one matrix product of all models."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array


def contract(subscripts: str, x: Array, w: Array) -> Array:
    """einsum with operands in w's dtype and float32 accumulation; float32 operands are never rounded (TF32, bf16 passes)."""
    precision = jax.lax.Precision.HIGHEST if w.dtype == jnp.float32 else None
    return jnp.einsum(subscripts, x.astype(w.dtype), w, precision=precision, preferred_element_type=jnp.float32)
