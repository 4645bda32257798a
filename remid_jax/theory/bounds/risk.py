"""The worst EMID over a ball of shifts, from in-distribution data alone (docs/theory.md, T6).

With the references of P itself, g = g_theta - g_golden = KL(P_theta(.|x) || P_Ytheta) - KL(P_{Y|x} || P_Y) is the gradient of
EMI at P, and for every Q without concept shift

    EMID(P -> Q) = (E_P - E_Q) g + KL(Q_Ytheta || P_Ytheta) - KL(Q_Y || P_Y).

The first part is at most sup_Q E_Q[-g] + E_P g over the ball; the second at most the `penalty` of the ball (data processing).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.bounds.balls import js_generator, worst_mean
from remid_jax.theory.divergences import LN2
from remid_jax.theory.worlds.quantities import kl_where, mean

SECTIONS, HALVINGS, ROUGH_ROOTS, ROOTS = 9, 9, 3, 12  # steps of the searches of `_js_risk`; only ROOTS must be enough
LEAST_RADIUS = 1e-10  # of these searches, see balls.py
NEAREST = 1e-5  # to the pole of eta, in widths
SEARCH_DTYPE = "float32"  # of these searches; the value that they lead to is taken in double precision


class Gradient(NamedTuple):
    """The two sides of g under P's own references, and P, over factors; or over [groups, contexts] once `structured`."""

    g_theta: Float[Array, "..."]
    g_golden: Float[Array, "..."]
    p: Float[Array, "..."]

    @property
    def emi(self) -> Float[Array, ""]:
        """E_P g, the EMI in distribution."""
        return (self.p * (self.g_theta - self.g_golden)).sum()


class Risk(NamedTuple):
    """EMID is at most `value` = `linear` + `penalty` for every Q in the ball; at most `linear` where the golden replies are
    less noisy than the policy's: KL(Q_Ytheta || P_Ytheta) <= KL(Q_Y || P_Y) (docs/theory.md, T6 (e))."""

    value: Float[Array, ""]
    linear: Float[Array, ""]
    penalty: Float[Array, ""]


def gradient(p: Float[Array, "U C D"], theta: Float[Array, "U C D Y"], golden: Float[Array, "U C D Y"]) -> Gradient:
    """The gradient of EMI at P, for the policy's kernel and P_{Y|X}."""
    return Gradient(kl_where(p, theta, mean(p, theta)), kl_where(p, golden, mean(p, golden)), p)


def structured(of: Gradient, shift: str) -> Gradient:
    """The gradient as `risk` wants it, [groups, contexts], for shifts of one factor alone, or of "any" kind.

    "user": P(c, d|u) stays, so g is averaged given u and the ball is one around P_u; "character" likewise. "dialogue": P_uc
    stays, so contexts are grouped by (u, c) and the ball holds the mean divergence of P(d|u, c).
    """
    if shift == "any":
        return Gradient(*(part.reshape(1, -1) for part in of))
    if shift == "dialogue":
        return Gradient(*(part.reshape(-1, part.shape[2]) for part in of))
    others = {"user": (1, 2), "character": (0, 2)}[shift]
    p = of.p.sum(others)
    means = ((of.p * part).sum(others) / jnp.where(p > 0, p, 1) for part in (of.g_theta, of.g_golden))
    return Gradient(*(part[None] for part in (*means, p)))


def risk(ball: str, of: Gradient, rho: Float[Array, ""]) -> Risk:
    """The worst EMID over the ball of radius `rho`, from a `structured` gradient [groups, contexts]; nats.

    Penalties: rho ("kl"), log(1 + rho) ("chi2"), rho = log 1/alpha ("subpopulation"). For "js", Q << P, no divergence of the
    outputs is bounded by rho, but -I_theta(Q) <= E_P omega(dQ/dP; g_theta), omega(t; g) = -t g + t log t - t + 1 up to t = e^g
    and 1 - e^g beyond (docs/theory.md, T6 (d)); `value` is that problem's dual, and the penalty what it adds to `linear`.
    """
    linear = of.emi + worst_mean(ball, of.g_golden - of.g_theta, of.p, rho).value
    if ball == "js":
        value = jnp.maximum(_js_risk(of, rho), linear)
        return Risk(value, linear, value - linear)
    penalty = jnp.log1p(rho) if ball == "chi2" else rho
    return Risk(linear + penalty, linear, penalty)


def _largest_term(of: Gradient, scale: Array, centre: Array, roots: int) -> tuple[Array, Array]:
    """max over t >= 0 of t g_golden + omega(t; g_theta) - scale f(t) - centre t, and the t, per context.

    The function is concave up to t = scale/2 - 1, convex up to e^g, concave beyond: the maximum is at 0 or at a root of the
    derivative in one of the concave parts, the first found by `roots` Newton steps in log t, the other in closed form.
    """
    a = jnp.where(of.p > 0, of.g_golden - centre, -scale)
    largest = 0.4 * jnp.log(jnp.finfo(a.dtype).max)  # log of the largest density that is looked at: nothing overflows
    top = jnp.exp(jnp.minimum(of.g_theta, largest))
    # Beyond e^g: f'(t) = a/scale, so 2t/(1+t) = e^{2a/scale}; the centre is kept where that is below 2.
    odds = jnp.minimum(jnp.exp(2 * a / scale), 2 - 8 * jnp.finfo(a.dtype).eps)
    beyond = jnp.maximum(odds / (2 - odds), top)
    # Up to e^g: c - scale/2 ln 2 - (scale/2 - 1) tau + scale/2 log(1 + e^tau) = 0 in tau = log t, convex: Newton steps from
    # the root of its left asymptote, which lies left of it, stay left of it.
    half, steep = scale / 2, jnp.maximum(scale / 2 - 1, 1e-9)
    c = a - of.g_theta - half * LN2

    def newton(_: Array, tau: Array) -> Array:
        small = jnp.exp(-jnp.abs(tau))
        value = c - (half - 1) * tau + half * (jnp.maximum(tau, 0) + jnp.log1p(small))
        slope = half * jnp.where(tau > 0, 1, small) / (1 + small) - (half - 1)
        return jnp.clip(tau + jnp.where(slope < 0, value / jnp.maximum(-slope, 1e-12), 0.0), -1e9, 1e9)

    c, half, steep = jax.lax.stop_gradient((c, half, steep))  # the maximum is stationary in t: envelope theorem
    tau = jax.lax.fori_loop(0, roots, newton, c / steep)
    below = jnp.where(scale > 2, jnp.minimum(jnp.exp(jnp.minimum(tau, largest)), top), 0.0)
    candidates = jax.lax.stop_gradient(jnp.stack([jnp.zeros_like(a), below, beyond]))
    below = candidates[1]
    log = jnp.log(jnp.where(below > 0, below, 1))
    omegas = jnp.stack([jnp.ones_like(a), below * (log - of.g_theta - 1) + 1, 1 - top])
    values = candidates * a + omegas - scale * js_generator(candidates)
    best = jnp.argmax(values, axis=0)
    return values.max(0), jnp.take_along_axis(candidates, best[None], 0)[0]


def _js_risk(of: Gradient, rho: Array) -> Array:
    """E_P g + inf_{lambda, eta} lambda rho + E eta + E_P max_t[...]: bisection of the slope in log lambda, and in each eta.

    Where the largest t jumps at the best eta, the slope in lambda is that of the mixture of both t which has mean 1.
    """
    fixed, radius = jax.tree.map(lambda a: jax.lax.stop_gradient(a).astype(SEARCH_DTYPE), (of, rho))
    group = fixed.p.sum(1, keepdims=True)
    share = jnp.where(group > 0, fixed.p / jnp.where(group > 0, group, 1), 0.0)
    z = jnp.where(share > 0, fixed.g_golden - fixed.g_theta, 0.0)
    top = jnp.where(of.p > 0, jax.lax.stop_gradient(of.g_golden), -jnp.inf).max(1, keepdims=True)
    top = jnp.where(group > 0, top, 0.0)
    highest = top.astype(SEARCH_DTYPE)
    within = (fixed.p * (z - (share * z).sum(1, keepdims=True)) ** 2).sum()
    unit = jnp.log(jnp.sqrt(2 * within / jnp.maximum(radius, LEAST_RADIUS)) + 1e-6)

    def mean(values: Array) -> Array:
        return (share * values).sum(1, keepdims=True)

    def width(scale: Array) -> Array:
        return scale / 2 * LN2

    @jax.jit  # traced once for all its calls, as is `density`
    def centre_of(scale: Array) -> tuple[Array, Array]:
        """Where E t = 1 in every group, as eta's way from its pole (0) to the largest g_golden (1), and E f(t) there.

        For g_theta >= 0 no t passes 1 once eta passes all g_golden; at the pole, `width` below, t is infinite.
        """

        @jax.jit
        def density(way: Array) -> Array:
            return _largest_term(fixed, scale, highest - width(scale) * (1 - way), ROUGH_ROOTS)[1]

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            more = mean(density(middle)) > 1
            return jnp.where(more, middle, low), jnp.where(more, high, middle)

        low, high = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.full_like(highest, NEAREST), jnp.ones_like(highest)))
        above, below = density(low), density(high)
        gap = mean(above) - mean(below)
        part = jnp.clip(jnp.where(gap > 0, (1 - mean(below)) / jnp.where(gap > 0, gap, 1), 0.0), 0, 1)
        spent = part * mean(js_generator(above)) + (1 - part) * mean(js_generator(below))
        # Mass still missing at the pole goes to the rarest of contexts, where f(t) is t ln(2)/2.
        spent = spent + jnp.maximum(1 - jnp.maximum(mean(above), mean(below)), 0) * LN2 / 2
        return high + part * (low - high), (group * spent).sum()

    def narrow(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        outside = centre_of(jnp.exp(middle))[1] > radius
        return jnp.where(outside, middle, low), jnp.where(outside, high, middle)

    start = (unit - 3.0, jnp.maximum(unit, math.log(4.0)) + 3.0)  # omega alone asks for a lambda of order 2
    low, high = jax.lax.fori_loop(0, SECTIONS, narrow, start)
    scale = jnp.exp((low + high) / 2)
    scale, way = (found.astype(of.p.dtype) for found in (scale, centre_of(scale)[0]))
    centre = jax.lax.stop_gradient(top - width(scale) * (1 - way))
    largest = _largest_term(of, scale, centre, ROOTS)[0]
    return of.emi + scale * rho + (of.p.sum(1, keepdims=True) * centre).sum() + (of.p * largest).sum()
