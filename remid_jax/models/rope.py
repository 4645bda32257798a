"""Rotary position embeddings, plain and stretched."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from remid_jax.models.config import Rope


def frequencies(rope: Rope, head_size: int) -> np.ndarray:
    """Angular frequency of each rotated pair, radians per position, float32 [half of what is rotated].

    Plain: theta^(-2k/H). `linear` divides all by `factor`. `llama3` divides those whose wavelength exceeds
    original_positions / low_frequency_factor, keeps those below original_positions / high_frequency_factor, and blends
    between. `yarn` blends by the number of turns made over the original context (arXiv 2309.00071, section 3.2). `longrope`
    divides each by its own factor. H is the head's size, or as much of it as is rotated.
    """
    head_size = int(head_size * rope.rotated)
    pair = np.arange(0, head_size, 2, dtype=np.float32) / head_size
    # All roundings are torch's: one more turns a pair by 1e-4 at position 2,000. numpy's own float32 power has one more.
    power = (rope.theta ** pair.astype(np.float64)).astype(np.float32)
    plain = 1.0 / power
    if rope.scaling is None:
        return plain
    if rope.scaling == "longrope":
        return (1.0 / (np.array(rope.short_factors, np.float32) * power)).astype(np.float32)
    if rope.scaling == "linear":
        return plain / np.float32(rope.factor)
    if rope.scaling == "llama3":
        wavelengths = np.float32(2 * math.pi) * (1.0 / plain)
        turns = np.float32(rope.original_positions) * (1.0 / wavelengths)
        keep = (turns - rope.low_frequency_factor) / (rope.high_frequency_factor - rope.low_frequency_factor)
        keep = np.clip(keep, 0.0, 1.0)
        return (1 - keep) * plain / np.float32(rope.factor) + keep * plain
    keep = 1.0 - _yarn_ramp(rope, head_size)
    return 1.0 / (np.float32(rope.factor) * power) * (1 - keep) + plain * keep


def _yarn_ramp(rope: Rope, head_size: int) -> np.ndarray:
    """0 for pairs that turn often enough to be kept, 1 for those to be interpolated, linear in the pair index between."""

    def pair_of(turns: float) -> float:
        return head_size * math.log(rope.original_positions / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair_of(rope.beta_fast), pair_of(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    span = (high - low) or 0.001
    return np.clip((np.arange(head_size // 2, dtype=np.float32) - low) / span, 0, 1)


def angles(
    rope: Rope, head_size: int, positions: Int[Array, "B T"]
) -> tuple[Float[Array, "B T 1 half"], Float[Array, "B T 1 half"]]:
    """Cosines and sines for `rotate`, in float32, with a broadcast axis for the heads."""
    angle = positions[:, :, None, None].astype(jnp.float32) * frequencies(rope, head_size)
    return jnp.cos(angle) * rope.attention_factor, jnp.sin(angle) * rope.attention_factor


def rotate(
    x: Float[Array, "B T N H"], cos: Float[Array, "B T 1 half"], sin: Float[Array, "B T 1 half"]
) -> Float[Array, "B T N H"]:
    """Rotates the pairs (x[k], x[k + half]) by their position's angle (the half-split layout of Hugging Face weights).

    What stands behind the pairs stays as it is.
    """
    half = cos.shape[-1]
    left, right, *rest = jnp.split(x.astype(jnp.float32), (half, 2 * half)[: 1 + (2 * half < x.shape[-1])], axis=-1)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin, *rest], axis=-1)
