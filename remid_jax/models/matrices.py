"""The one matrix product of all models, and how its operands are rounded."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array


def contract(subscripts: str, x: Array, w: Array) -> Array:
    """einsum with operands in w's dtype and float32 accumulation; float32 operands are never rounded (TF32, bf16 passes).

    The products of the gradients have the same operands and accumulation. Every index must occur in two of x, w and the result;
    an ellipsis stands for leading axes of x.
    """
    return _contract(subscripts.replace("...", "xyz"[: x.ndim - 1]), x, w)


def project(x: Array, w: Array, weights_first: bool = False) -> Array:
    """x [B, T, inputs] times w [inputs, outputs], as `contract`; with `weights_first`, w is [outputs, inputs]: see `turned`."""
    if weights_first:
        return _product("oi,bti->bto", w, rounded(x, w.dtype))
    return contract("bti,io->bto", x, w)


def on_cpu() -> bool:
    """Whether what is traced will run on CPUs: those of the mesh in sight, without one JAX's own devices."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return (jax.default_backend() if device is None else device.device_kind) == "cpu"


def turned(dtype: jnp.dtype) -> bool:
    """Whether decoding has weights of this dtype as [outputs, inputs], the left operand.

    With few rows a CPU is then 1.4 times as fast in float32, and a row's result is the same to the last bit among 2 rows as
    among 64. In bfloat16 XLA would there turn all matrices back in every program (a twentieth of decoding); for a TPU it turns
    those that are not, which takes memory (450 MiB of Qwen3-8B's on each of four).
    """
    return dtype == jnp.float32 or not on_cpu()


def rounded(x: Array, dtype: jnp.dtype) -> Array:
    """x in the dtype of a product's operands, to nearest, ties to even."""
    return _to_bfloat16(x) if (x.dtype, dtype) == (jnp.float32, jnp.bfloat16) else x.astype(dtype)


@jax.custom_jvp
def _to_bfloat16(x: Array) -> Array:
    # XLA's own conversion for CPUs is half as fast, which was a tenth of attention (measured).
    return jax.lax.platform_dependent(x, cpu=_upper_half, default=lambda x: x.astype(jnp.bfloat16))


@_to_bfloat16.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _to_bfloat16(*primals), tangents[0].astype(jnp.bfloat16)


def _upper_half(x: Array) -> Array:
    """float32 in bfloat16, by the bits."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    upper = (bits + jnp.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    upper = jnp.where(jnp.isnan(x), jnp.uint32(0x7FC0), upper)
    return jax.lax.bitcast_convert_type(upper.astype(jnp.uint16), jnp.bfloat16)


def as_bits(a: Array) -> Array:
    """bfloat16 as integers of 16 bits, to be cut: XLA for CPUs cuts bfloat16 by way of a whole copy in float32."""
    return jax.lax.bitcast_convert_type(a, jnp.uint16) if a.dtype == jnp.bfloat16 else a


def of_bits(a: Array, dtype: jnp.dtype) -> Array:
    """What `as_bits` was given, of this dtype."""
    return jax.lax.bitcast_convert_type(a, jnp.bfloat16) if dtype == jnp.bfloat16 else a


def _product(subscripts: str, x: Array, w: Array) -> Array:
    precision = jax.lax.Precision.HIGHEST if w.dtype == jnp.float32 else None
    return jnp.einsum(subscripts, x, w, precision=precision, preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _contract(subscripts: str, x: Array, w: Array) -> Array:
    return _product(subscripts, rounded(x, w.dtype), w)


def _forward(subscripts: str, x: Array, w: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    low = rounded(x, w.dtype)
    return _product(subscripts, low, w), (low, w, jnp.zeros((), x.dtype))


def _backward(subscripts: str, kept: tuple[Array, Array, Array], change: Array) -> tuple[Array, Array]:
    # JAX's own rule would multiply a float32 change by bfloat16 weights, which no backend does fast, and on CPU transpose the
    # larger operand of the weights' gradient, which took longer than the layer itself (60% of a step, measured).
    x, w, like = kept
    of_x, of_w, of_y = subscripts.replace("->", ",").split(",")
    low = rounded(change, w.dtype)
    to_x = _product(f"{of_y},{of_w}->{of_x}", low, w)
    return to_x.astype(like.dtype), _smaller_first((of_x, x), (of_y, low), of_w).astype(w.dtype)


def _smaller_first(a: tuple[str, Array], b: tuple[str, Array], of_result: str) -> Array:
    """The product of two named arrays, in the order in which the smaller one is transposed, and then the result."""
    (of_small, small), (of_big, big) = sorted((a, b), key=lambda named: math.prod(named[1].shape))
    shared = [axis for axis in of_result if axis in of_small and axis in of_big]
    natural = "".join(
        [*shared, *(axis for of in (of_small, of_big) for axis in of if axis in of_result and axis not in shared)]
    )
    found = _product(f"{of_small},{of_big}->{natural}", small, big)
    return jnp.transpose(found, [natural.index(axis) for axis in of_result])


_contract.defvjp(_forward, _backward)
