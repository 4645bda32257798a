"""The worst EMID over a ball of shifts, from in-distribution data alone (theory.md section 3).

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
import numpy as np
from jaxtyping import Array, Float

from remid_jax.information.bounds.balls import js_generator, worst_mean
from remid_jax.information.divergences import LN2
from remid_jax.information.worlds.quantities import kl_where, mean

STRUCTURES = ("any", "user", "character", "dialogue")
SECTIONS, HALVINGS, ROUGH_ROOTS, ROOTS = 7, 9, 4, 12  # steps of the searches of `_js_risk`; only ROOTS must be enough
LARGEST = 300.0  # log of the largest density dQ/dP that is looked at: nothing overflows
GOLDEN = (math.sqrt(5) - 1) / 2


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
    less noisy than the policy's: KL(Q_Ytheta || P_Ytheta) <= KL(Q_Y || P_Y), theory.md (e)."""

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
    and 1 - e^g beyond (theory.md (d)); `value` is that problem's dual, and the penalty what it adds to `linear`.
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
    top = jnp.exp(jnp.minimum(of.g_theta, LARGEST))
    # Beyond e^g: f'(t) = a/scale, so 2t/(1+t) = e^{2a/scale}; the centre is kept where that is below 2.
    odds = jnp.minimum(jnp.exp(2 * a / scale), 2 - 1e-15)
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

    tau = jax.lax.fori_loop(0, roots, newton, c / steep)
    below = jnp.where(scale > 2, jnp.minimum(jnp.exp(jnp.minimum(tau, LARGEST)), top), 0.0)
    candidates = jnp.stack([jnp.zeros_like(a), below, beyond])
    log = jnp.log(jnp.where(below > 0, below, 1))
    omegas = jnp.stack([jnp.ones_like(a), below * (log - of.g_theta - 1) + 1, 1 - top])
    values = candidates * a + omegas - scale * js_generator(candidates)
    best = jnp.argmax(values, axis=0)
    return values.max(0), jnp.take_along_axis(candidates, best[None], 0)[0]


def _js_risk(of: Gradient, rho: Array) -> Array:
    """E_P g + inf_{lambda, eta} lambda rho + E eta + E_P max_t[...]: golden sections in log lambda, bisection in each eta."""
    fixed = jax.lax.stop_gradient(of)
    group = of.p.sum(1, keepdims=True)
    share = jax.lax.stop_gradient(jnp.where(group > 0, of.p / jnp.where(group > 0, group, 1), 0.0))
    z = jnp.where(share > 0, fixed.g_golden - fixed.g_theta, 0.0)
    highest = jnp.where(share > 0, fixed.g_golden, -jnp.inf).max(1, keepdims=True)
    highest = jnp.where(group > 0, highest, 0.0)
    within = (fixed.p * (z - (share * z).sum(1, keepdims=True)) ** 2).sum()
    unit = jnp.log(jnp.sqrt(2 * within / jnp.maximum(jax.lax.stop_gradient(rho), 1e-300)) + 1e-6)

    def centre_of(scale: Array) -> Array:
        """Where E t = 1 in every group: every t is at most 1 once eta passes all g_golden, for g_theta >= 0."""

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            more = (share * _largest_term(fixed, scale, middle, ROUGH_ROOTS)[1]).sum(1, keepdims=True) > 1
            return jnp.where(more, middle, low), jnp.where(more, high, middle)

        return jax.lax.fori_loop(0, HALVINGS, halve, (highest - scale / 2 * LN2, highest))[1]

    def value(of: Gradient, rho: Array, scale: Array, centre: Array, roots: int) -> Array:
        largest = _largest_term(of, scale, centre, roots)[0]
        return scale * rho + (of.p.sum(1, keepdims=True) * centre).sum() + (of.p * largest).sum()

    def at(log_scale: Array) -> Array:
        return value(fixed, rho, jnp.exp(log_scale), centre_of(jnp.exp(log_scale)), ROUGH_ROOTS)

    def narrow(_: Array, bracket: tuple[Array, ...]) -> tuple[Array, ...]:
        """A golden section of the convex dual: (low, left, right, high, value at left, value at right)."""
        low, left, right, high, of_left, of_right = bracket
        falls = of_right < of_left
        low, high = jnp.where(falls, left, low), jnp.where(falls, high, right)
        new = jnp.where(falls, low + GOLDEN * (high - low), high - GOLDEN * (high - low))
        of_new = at(new)
        return (
            low, jnp.where(falls, right, new), jnp.where(falls, new, left), high,
            jnp.where(falls, of_right, of_new), jnp.where(falls, of_new, of_left),
        )  # fmt: skip

    low, high = unit - 3.0, jnp.maximum(unit, math.log(4.0)) + 3.0  # omega alone asks for a lambda of order 2
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    low, _, _, high, _, _ = jax.lax.fori_loop(0, SECTIONS, narrow, (low, left, right, high, at(left), at(right)))
    scale = jax.lax.stop_gradient(jnp.exp((low + high) / 2))
    return of.emi + value(of, rho, scale, jax.lax.stop_gradient(centre_of(scale)), ROOTS)


# ------------------------------------------------------------------------------------------------ with confidence 1 - delta


def chi2_with_confidence(g: Float[Array, " n"], rho: float | Float[Array, ""], width: float, delta: float) -> Float[Array, ""]:
    """sqrt(rho) (sd_n + b sqrt(2 ln(1/delta)/(n-1))) + log(1 + rho): holds with probability 1 - delta over n independent
    contexts when g spans at most `width` = b and its references were fixed beforehand (Maurer and Pontil 2009)."""
    n = g.shape[0]
    return jnp.sqrt(rho) * (g.std(ddof=1) + width * jnp.sqrt(2 * np.log(1 / delta) / (n - 1))) + jnp.log1p(rho)


def ball_with_confidence(
    ball: str, g: Float[Array, " n"], rho: float | Float[Array, ""], low: float, high: float, delta: float
) -> Float[Array, ""]:
    """Any ball but "js", from n independent contexts with g within low .. high: the dual is monotone in the law of Z = -g, so
    by Dvoretzky-Kiefer-Wolfowitz the ceil(n eps) smallest Z become the largest possible, eps = sqrt(ln(2/delta)/2n); E_P g by
    the empirical Bernstein inequality. Each has half of delta."""
    n = g.shape[0]
    moved = int(np.ceil(n * np.sqrt(np.log(2 / delta) / (2 * n))))
    z = jnp.where(jnp.arange(n) < moved, -low, jnp.sort(-g))
    width = high - low
    mean_g = g.mean() + jnp.sqrt(2 * g.var(ddof=1) * np.log(4 / delta) / n) + 7 * width * np.log(4 / delta) / (3 * (n - 1))
    penalty = jnp.log1p(rho) if ball == "chi2" else rho
    return mean_g + worst_mean(ball, z[None], jnp.full((1, n), 1 / n), jnp.asarray(rho)).value + penalty
