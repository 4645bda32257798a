"""The worst shift that a search can find: a lower bound on the worst EMID over a ball, where `risk` is an upper one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.bounds.balls import worst_mean

STEPS = 25
STEP_SIZES = (1.0, 0.5, 0.25, 0.1, 0.03)


class Attack(NamedTuple):
    """The largest EMID found, and the density dQ/dP it was found at."""

    emid: Float[Array, ""]
    density: Float[Array, "G K"]


def attack(
    emi: Callable[[Float[Array, "G K"]], Float[Array, ""]], ball: str, p: Float[Array, "G K"], rho: Float[Array, ""]
) -> Attack:
    """Linearise and tilt: from Q = P, move to the worst law for the gradient of -EMI at the present Q, as far along the way
    as helps most; 25 times. `emi(density)` is EMI(dQ/dP); every law visited lies in the ball (which is convex)."""
    start = emi(jnp.ones_like(p))
    sizes = jnp.array(STEP_SIZES, p.dtype)

    def step(_: Array, best: Attack) -> Attack:
        # Steepness in a context's share of Q, per unit of P: where P is 0 nothing can move.
        slope = jax.grad(emi)(best.density)
        z = jnp.where(p > 0, -slope / jnp.where(p > 0, p, 1), 0.0)
        aim = worst_mean(ball, z, p, rho).density
        aim = 1 + (1 - 1e-9) * (jnp.where(p > 0, aim, 1.0) - 1)
        tried = best.density + sizes[:, None, None] * (aim - best.density)
        losses = start - jax.vmap(emi)(tried)
        losses = jnp.where(jnp.isfinite(losses), losses, -jnp.inf)
        largest = jnp.argmax(losses)
        better = losses[largest] > best.emid
        return Attack(jnp.where(better, losses[largest], best.emid), jnp.where(better, tried[largest], best.density))

    return jax.lax.fori_loop(0, STEPS, step, Attack(jnp.zeros((), p.dtype), jnp.ones_like(p)))
