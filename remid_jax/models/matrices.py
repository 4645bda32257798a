"""The one matrix product of all models."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array


def contract(subscripts: str, x: Array, w: Array) -> Array:
    """einsum with operands in w's dtype and float32 accumulation; float32 operands are never rounded (TF32, bf16 passes).

    In bfloat16 the gradients' products have bfloat16 operands and float32 accumulation, too. Every index must occur in two of
    x, w and the result; an ellipsis stands for leading axes of x.
    """
    if w.dtype == jnp.float32:
        return _float32(subscripts, x.astype(w.dtype), w)
    return _rounded(subscripts.replace("...", "xyz"[: x.ndim - 1]), x, w)


def _float32(subscripts: str, x: Array, w: Array) -> Array:
    return jnp.einsum(subscripts, x, w, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded(subscripts: str, x: Array, w: Array) -> Array:
    return jnp.einsum(subscripts, x.astype(w.dtype), w, preferred_element_type=jnp.float32)


def _forward(subscripts: str, x: Array, w: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    low = x.astype(w.dtype)
    return _rounded(subscripts, low, w), (low, w, jnp.zeros((), x.dtype))


def _backward(subscripts: str, kept: tuple[Array, Array, Array], change: Array) -> tuple[Array, Array]:
    # Without this rule JAX would multiply a float32 change by bfloat16 weights, which no backend does fast.
    x, w, like = kept
    of_x, of_w, of_y = subscripts.replace("->", ",").split(",")
    low = change.astype(w.dtype)
    to_x = jnp.einsum(f"{of_y},{of_w}->{of_x}", low, w, preferred_element_type=jnp.float32)
    to_w = jnp.einsum(f"{of_x},{of_y}->{of_w}", x, low, preferred_element_type=jnp.float32)
    return to_x.astype(like.dtype), to_w.astype(w.dtype)


_rounded.defvjp(_forward, _backward)
