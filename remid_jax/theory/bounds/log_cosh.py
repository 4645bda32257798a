"""How far the mean of g can fall from P to Q, knowing the law of g under M and D_JS(P || Q) alone (docs/theory.md, T3).

    (E_P - E_Q) g <= LC(g; D) = inf_{lambda > 0, eta} 2 lambda (D + E_M log cosh((g - eta) / lambda))

Proof: Fenchel-Young for psi and its conjugate log cosh, with E_M s = 0 for eta. By strong duality nothing smaller holds for
all P and Q of that D_JS. Every (lambda, eta) gives a valid bound, so a search that stops early errs on the safe side only.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.divergences import log_cosh

NEWTON_STEPS = 16
DAMPING = (0.0, 0.3, 3.0, 30.0, 1000.0)
FEWEST_LAMBDA = 0.1  # of the last lambda: how far one step may shrink it, the function being defined for positive ones only


class LogCosh(NamedTuple):
    """The bound and where it is attained; `scale` 0 stands for the limit lambda -> 0, where it is 2 E |g - eta|."""

    value: Float[Array, ""]
    scale: Float[Array, ""]
    centre: Float[Array, ""]


def weighted_median(values: Float[Array, " X"], weights: Float[Array, " X"]) -> Float[Array, ""]:
    """The smallest value at which half of the weight is reached."""
    order = jnp.argsort(values)
    reached = jnp.cumsum(weights[order]) >= weights.sum() / 2
    return values[order][jnp.argmax(reached)]


def spread(g: Float[Array, " X"], m: Float[Array, " X"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """2 E_M |g - median|, the bound at any D_JS (docs/theory.md, T3, C"), and the median."""
    centre = jax.lax.stop_gradient(weighted_median(g, m))
    return 2 * m @ jnp.abs(g - centre), centre


def objective(
    g: Float[Array, " X"],
    m: Float[Array, " X"],
    divergence: Float[Array, ""],
    scale: Float[Array, ""],
    centre: Float[Array, ""],
) -> Float[Array, ""]:
    """2 lambda (D + E log cosh((g - eta)/lambda)), jointly convex in (lambda, eta)."""
    return 2 * scale * (divergence + m @ log_cosh((g - centre) / scale))


def log_cosh_bound(g: Float[Array, " X"], m: Float[Array, " X"], divergence: Float[Array, ""]) -> LogCosh:
    """LC(g; D) by damped Newton steps from lambda = sqrt(Var/2D), eta = mean, the optimum for small D.

    Differentiable in all arguments by the envelope theorem. Contexts of weight 0 do not count.
    """
    of_g, of_m, of_d = jax.lax.stop_gradient((g, m, divergence))
    mean = of_m @ of_g
    deviation = jnp.sqrt(of_m @ (of_g - mean) ** 2)
    unit = jnp.where(deviation > 0, deviation, 1.0)
    x, d = jnp.where(of_m > 0, of_g - mean, 0.0) / unit, jnp.maximum(of_d, jnp.finfo(g.dtype).tiny)
    damping = jnp.array(DAMPING, g.dtype)

    def newton(_: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        scale, centre = at
        v = (x - centre) / scale
        u = jnp.tanh(v)
        curvature = of_m * (1 - u * u)
        slope_scale, slope_centre = d + of_m @ (log_cosh(v) - v * u), -(of_m @ u)
        # The Hessian, times lambda: [[E q v^2, E q v], [E q v, E q]] with q = sech^2; damped as Levenberg and Marquardt do.
        a, b, c = curvature @ (v * v) + 1e-300, curvature @ v, curvature.sum() + 1e-300
        a, c = a * (1 + damping), c * (1 + damping)
        determinant = jnp.maximum(a * c - b * b, 1e-14 * a * c)
        to_scale = -scale * (c * slope_scale - b * slope_centre) / determinant
        to_centre = -scale * (a * slope_centre - b * slope_scale) / determinant
        scales, centres = jnp.maximum(scale + to_scale, FEWEST_LAMBDA * scale), centre + to_centre
        found = jax.vmap(objective, (None, None, None, 0, 0))(x, of_m, d, scales, centres)
        best = jnp.argmin(jnp.where(jnp.isfinite(found), found, jnp.inf))
        better = found[best] < objective(x, of_m, d, scale, centre)
        return jnp.where(better, scales[best], scale), jnp.where(better, centres[best], centre)

    scale, centre = jax.lax.fori_loop(0, NEWTON_STEPS, newton, (jnp.sqrt(1 / (2 * d)), jnp.zeros((), g.dtype)))
    scale, centre = scale * unit, centre * unit + mean
    value = objective(jnp.where(m > 0, g, centre), m, divergence, scale, centre)
    widest, median = spread(g, m)
    narrow = value <= widest
    return LogCosh(jnp.where(narrow, value, widest), jnp.where(narrow, scale, 0.0), jnp.where(narrow, centre, median))
