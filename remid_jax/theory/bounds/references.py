"""The best bound that the output laws allow: `log_cosh_bound` over every choice of references (docs/theory.md, T7).

For any functions alpha and beta of the reply, with no concept shift,

    2 E_M[s <P_theta(.|x), alpha>] = <P_Ytheta - Q_Ytheta, alpha>,     2 E_M[s <P_{Y|x}, beta>] = <P_Y - Q_Y, beta>,

and the right sides are known as soon as T is, because T is made of the same four output laws. So they may be taken out of g:

    EMID <= inf_{alpha, beta} LC(g - <P_theta, alpha> + <P_{Y|x}, beta>; D_JS) + <P_Yth - Q_Yth, alpha> - <P_Y - Q_Y, beta> + T.

alpha = beta = 0 is `information`. alpha = log(nu_t/M_Ytheta), beta = log(nu_s/M_Y) is the bound with references nu_t, nu_s
of docs/theory.md, T1, so this is below the minimum over all of those, not only over mixtures of P and Q. The infimum is the
Lagrange dual of sup {2 E_M[g s] : E_M s = 0, E_M psi(s) <= D_JS, the equalities above}, jointly convex in (lambda, eta, alpha,
beta); by strong duality nothing tighter follows from (M_X, the kernels, the four output laws, D_JS): what is left is the room
that this knowledge leaves to P and Q. Every alpha and beta give a valid bound. Where the kernels' rows are linearly
independent the output laws determine P_X - Q_X, and the bound is EMID itself.

With concept shift the golden functional is that of Q_{Y|X} under both laws of contexts.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.bounds.log_cosh import FEWEST_LAMBDA, LogCosh, log_cosh_bound
from remid_jax.theory.divergences import log_cosh
from remid_jax.theory.worlds.quantities import Quantities, mean

NEWTON_STEPS = 20
STEP_SIZES = (1.0, 0.3)
RIDGE = 1e-9
ROUNDING = 32  # units in the last place of the weights


class References(NamedTuple):
    """The sum of `shift` (LC of the rest of g) and `known` (what the output laws say of the part taken out)."""

    value: Float[Array, ""]
    shift: LogCosh
    known: Float[Array, ""]


def best_references(of: Quantities) -> References:
    """The bound on (E_P - E_Q) g by Newton steps on the joint dual from the optimum of `log_cosh_bound`."""
    x = of.m.size
    features = jnp.concatenate([of.theta.reshape(x, -1), of.golden.reshape(x, -1)], axis=1)
    known = jnp.concatenate([of.outputs.p_theta - of.outputs.q_theta, mean(of.p - of.q, of.golden)])
    g, m = of.g.ravel(), of.m.ravel()
    weights = _search(*jax.lax.stop_gradient((g, m, of.js_x, features, known)))
    shift = log_cosh_bound(jnp.where(m > 0, g - features @ weights, 0.0), m, of.js_x)
    # Large weights cancel between the two parts; what rounding may lose there is added, so the sum stays a bound.
    taken_out = known @ weights + ROUNDING * jnp.finfo(g.dtype).eps * jnp.abs(weights).sum()
    plain = log_cosh_bound(g, m, of.js_x)
    better = shift.value + taken_out < plain.value
    return References(
        jnp.where(better, shift.value + taken_out, plain.value),
        jax.tree.map(lambda a, b: jnp.where(better, a, b), shift, plain),
        jnp.where(better, taken_out, 0.0),
    )


def _search(g: Array, m: Array, divergence: Array, features: Array, known: Array) -> Float[Array, " F"]:
    """The weights (alpha, -beta) of the features."""
    start = log_cosh_bound(g, m, divergence)
    unit = jnp.maximum(start.scale, 1e-3 * (jnp.sqrt(m @ (g - m @ g) ** 2) + 1e-300))
    count = features.shape[1]
    steps = jnp.array(STEP_SIZES, g.dtype)
    design = jnp.concatenate([jnp.ones((len(g), 1)), features], axis=1)
    slopes = jnp.concatenate([jnp.zeros(1), known])
    d = jnp.maximum(divergence, jnp.finfo(g.dtype).tiny)

    def objective(scale: Array, weights: Array) -> Array:
        return 2 * scale * (d + m @ log_cosh((g - design @ weights) / scale)) + slopes @ weights

    def newton(_: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        scale, weights, damping = at
        v = (g - design @ weights) / scale
        u = jnp.tanh(v)
        curvature = m * (1 - u * u)
        columns = jnp.concatenate([v[:, None], design], axis=1)
        gradient = jnp.concatenate([(2 * (d + m @ (log_cosh(v) - v * u)))[None], slopes - 2 * design.T @ (m * u)])
        hessian = 2 / scale * columns.T @ (curvature[:, None] * columns)
        diagonal = jnp.diagonal(hessian)
        ridge = damping * diagonal + RIDGE * diagonal.mean() + 1e-300
        direction = -jnp.linalg.solve(hessian + jnp.diag(ridge), gradient)
        scales = jnp.maximum(scale + steps * direction[0], FEWEST_LAMBDA * scale)
        found = weights + steps[:, None] * direction[1:]
        values = jax.vmap(objective)(scales, found)
        best = jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))
        better = values[best] < objective(scale, weights)
        damping = jnp.where(better, jnp.where(best == 0, damping / 8, damping), jnp.maximum(damping * 8, 1e-3))
        return jnp.where(better, scales[best], scale), jnp.where(better, found[best], weights), damping

    first = jnp.zeros(count + 1).at[0].set(start.centre)
    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, (unit, first, jnp.zeros(())))[1][1:]
