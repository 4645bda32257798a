"""Attention over token trees, by the way that suits a row's length."""

from __future__ import annotations

from jaxtyping import Array, Float, Int

from remid_jax.models.attention.blocks import attend_blocks
from remid_jax.models.attention.triangle import attend_triangle

LONGEST_TRIANGLE = 512  # slots: beyond, blocks are quicker, smaller and one program of every length (measured on CPU)
BLOCK = 128  # slots: on CPU within a tenth of the best of 128, 256 and 512 up to 2,048 slots


def attend(
    q: Float[Array, "B N T H"],
    k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"],
    positions: Int[Array, "B T"],
    ends: Int[Array, "B T"],
    window: Int[Array, ""] | None,
    scale: float,
    softcap: float | None,
) -> Float[Array, "B T NH"]:
    """What each token takes from those it sees, the heads side by side, before the output projection; float32.

    Who sees whom: `remid_jax.models.attention.visibility`; `window` None is none. Query head n goes with key head
    n * K // N. Logits are `scale` times the products, and softcap * tanh(logits / softcap) of them where there is one.
    Products have operands in the dtype of k and v; softmax is float32. A token that sees none takes anything finite. Long rows
    run fused kernels on TPUs and NVIDIA's GPUs: a program takes the way of the platform that it is lowered for.
    """
    if q.shape[2] <= LONGEST_TRIANGLE:
        return attend_triangle(q, k, v, positions, ends, window, scale, softcap)
    from remid_jax.models.attention.fused import mix_by_platform  # here, as Pallas takes a seventh of a second of every start

    return attend_blocks(q, k, v, positions, ends, window, scale, softcap, BLOCK, mix_by_platform)
