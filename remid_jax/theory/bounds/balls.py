"""The largest mean of Z over a ball of laws around P (docs/theory.md, T6), solved in its dual: every dual point is a bound.

A ball holds the laws Q = t P with E_P f(t) <= rho, t >= 0, E_P t = 1 in every group of contexts:

    "chi2"           f(t) = (t - 1)^2                                          rho = chi2(Q || P)
    "kl"             f(t) = t log t - t + 1                                    rho = KL(Q || P), nats
    "js"             f(t) = (t log(2t/(1+t)) + log(2/(1+t))) / 2               rho = D_JS(Q || P), nats; Q << P
    "subpopulation"  t <= e^rho                                                rho = log 1/alpha, alpha the least share

    sup_Q E_Q Z = inf_{lambda > 0, eta} lambda rho + E eta(group) + lambda E_P f*((Z - eta)/lambda)

One group is the plain ball. With a group for each (user, character) the ball holds pure dialogue shifts: the group's own
probabilities stay, and rho bounds the mean divergence within groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.divergences import LN2

BALLS = ("chi2", "kl", "subpopulation", "js")
LEAST_RADIUS = 1e-12  # below, lambda stays where it is for this one: within floating point
STEPS = 21  # of the search of lambda
NEWTON_STEPS = 12  # of eta
MOST_FOLDS = 10.0  # the logs of the search are cut here, beyond which they are no line


class Worst(NamedTuple):
    """sup E_Q Z, from above by its dual, and the dQ/dP it belongs to, feasible up to the search's tolerance."""

    value: Float[Array, ""]
    density: Float[Array, "G K"]


class _Ball(NamedTuple):
    generator: Callable[[Array], Array]  # f
    conjugate: Callable[[Array], Array]  # f*
    density: Callable[[Array], Array]  # f*', the t of the worst law
    slope: Callable[[Array], Array]  # f*''
    curvature: float  # f''(1)


def _js_conjugate(v: Array) -> Array:
    """-log(2 - e^{2v})/2, infinite from v = ln(2)/2 on."""
    room = -jnp.expm1(2 * v)  # 1 - e^{2v}
    return jnp.where(room > -1, -jnp.log1p(jnp.maximum(room, -1 + 1e-300)) / 2, jnp.inf)


def _js_density(v: Array) -> Array:
    odds = jnp.exp(2 * jnp.minimum(v, LN2 / 2))
    return odds / jnp.maximum(2 - odds, 1e-300)


def js_generator(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """f(t) of D_JS(Q || P) = E_P f(dQ/dP), with an error of order eps |t - 1| near t = 1."""
    small = jnp.where((t > 0) & (t < 0.1), t, 0.1)
    log = jnp.where(t < 0.1, jnp.log(2 * small / (1 + small)), jnp.log1p((t - 1) / (t + 1)))
    return (t * log - jnp.log1p((t - 1) / 2)) / 2


def _kl_generator(t: Array) -> Array:
    return jnp.where(t > 0, t * jnp.log(jnp.where(t > 0, t, 1)), 0.0) - t + 1


def _js_slope(v: Array) -> Array:
    t = _js_density(v)
    return 2 * t * (1 + t)


_FORMS = {
    "chi2": _Ball(
        lambda t: (t - 1) ** 2,
        lambda v: jnp.where(v > -2, v + v * v / 4, -1.0),
        lambda v: jnp.maximum(1 + v / 2, 0),
        lambda v: jnp.where(v > -2, 0.5, 0.0),
        2.0,
    ),
    "kl": _Ball(_kl_generator, jnp.expm1, jnp.exp, jnp.exp, 1.0),
    "js": _Ball(js_generator, _js_conjugate, _js_density, _js_slope, 0.25),
}


def divergence(ball: str, density: Float[Array, "G K"], p: Float[Array, "G K"]) -> Float[Array, ""]:
    """The radius at which a law with density dQ/dP lies: E_P f(t), or log max t for "subpopulation"."""
    if ball == "subpopulation":
        return jnp.log(jnp.where(p > 0, density, 0).max())
    return (p * _FORMS[ball].generator(jnp.where(p > 0, density, 1.0))).sum()


def worst_mean(ball: str, z: Float[Array, "G K"], p: Float[Array, "G K"], rho: Float[Array, ""]) -> Worst:
    """sup E_Q Z over the ball of radius `rho` around P, for weights `p` that sum to 1; differentiable (envelope theorem)."""
    z = jnp.where(p > 0, z, jnp.where(p > 0, z, -jnp.inf).max(1, keepdims=True, initial=-1e30))
    if ball == "subpopulation":
        return _worst_share(z, p, rho)
    form = _FORMS[ball]
    scale, centre = _search(form, *jax.lax.stop_gradient((z, p, rho)))
    if ball == "js":  # right of the pole by more than rounding: every eta gives a bound, but there it is infinite
        top = z.max(1, keepdims=True)
        pole = top - scale * LN2 / 2
        centre = jax.lax.stop_gradient(jnp.maximum(centre, pole + 1e-12 * scale + 8 * jnp.finfo(z.dtype).eps * jnp.abs(top)))
    v = jnp.where(p > 0, (z - centre) / scale, 0.0)
    # E eta + lambda E f*(v) with E (z - eta) taken out: terms of the order of v^2, which do not cancel where lambda is large.
    value = scale * rho + (p * z).sum() + scale * (p * (form.conjugate(v) - v)).sum()
    return Worst(value, form.density(v))


def _centres(form: _Ball, z: Array, p: Array, scale: Array) -> Float[Array, "G 1"]:
    """The eta of each group at which its worst density has mean 1."""
    group = p.sum(1, keepdims=True)
    share = jnp.where(group > 0, p / jnp.where(group > 0, group, 1), 0.0)
    if form is _FORMS["kl"]:
        top = z.max(1, keepdims=True)
        total = (share * jnp.exp((z - top) / scale)).sum(1, keepdims=True)
        return top + scale * jnp.log(jnp.where(group > 0, total, 1))
    if form is _FORMS["js"]:
        # The mean density is at least 1 where one context alone would bring it to 1: from there Newton only moves right.
        alone = jnp.where(share > 0, 1 / jnp.where(share > 0, share, 1), 1.0)
        limit = jnp.where(share > 0, z - scale / 2 * jnp.log(2 * alone / (1 + alone)), -jnp.inf)
        centre = jnp.where(group > 0, limit.max(1, keepdims=True), 0.0)
    else:
        centre = (share * z).sum(1, keepdims=True)

    def newton(_: Array, centre: Array) -> Array:
        v = jnp.where(share > 0, (z - centre) / scale, 0.0)
        excess = (share * form.density(v)).sum(1, keepdims=True) - 1
        steepness = (share * form.slope(v)).sum(1, keepdims=True)
        return centre + jnp.where(group > 0, scale * jnp.maximum(excess, 0) / jnp.maximum(steepness, 1e-300), 0.0)

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, centre)


def _search(form: _Ball, z: Array, p: Array, rho: Array) -> tuple[Float[Array, ""], Float[Array, "G 1"]]:
    """lambda where E f(t) = rho, which falls as lambda grows, and eta: regula falsi (Illinois) of the logs, nearly a line, and
    every third step a bisection, for where they are none."""
    group = p.sum(1, keepdims=True)
    share = jnp.where(group > 0, p / jnp.where(group > 0, group, 1), 0.0)
    within = (p * (z - (share * z).sum(1, keepdims=True)) ** 2).sum()
    tiny = jnp.finfo(z.dtype).tiny
    # For small rho, lambda = sqrt(Var / (2 f''(1) rho)).
    unit = jnp.log(jnp.sqrt(jnp.maximum(within, tiny) / (2 * form.curvature * jnp.maximum(rho, LEAST_RADIUS))))

    @jax.jit  # traced once for all its calls
    def outside(log_scale: Array) -> Array:
        """log (E f(t) / rho)."""
        scale = jnp.exp(log_scale)
        t = form.density(jnp.where(p > 0, (z - _centres(form, z, p, scale)) / scale, 0.0))
        spent = (p * form.generator(t)).sum()
        return jnp.clip(jnp.log(jnp.maximum(spent, tiny) / jnp.maximum(rho, tiny)), -MOST_FOLDS, MOST_FOLDS)

    def narrow(step: Array, bracket: tuple[Array, ...]) -> tuple[Array, ...]:
        """(low, high, values there, the end that moved): an end that stays twice counts half."""
        low, high, above, below, moved = bracket
        way = jnp.where(step % 3 == 0, 0.5, jnp.clip(above / jnp.maximum(above - below, tiny), 0.01, 0.99))
        middle = low + way * (high - low)
        found = outside(middle)
        more = found > 0
        side, stays = jnp.where(more, 1, -1), 0.5
        return (
            jnp.where(more, middle, low), jnp.where(more, high, middle),
            jnp.where(more, found, jnp.where(side == moved, stays * above, above)),
            jnp.where(more, jnp.where(side == moved, stays * below, below), found), side,
        )  # fmt: skip

    low, high = unit - 14.0, unit + 7.0
    bracket = (low, high, outside(low), outside(high), jnp.zeros((), int))
    scale = jnp.exp(jax.lax.fori_loop(0, STEPS, narrow, bracket)[1])
    return scale, _centres(form, z, p, scale)


def _worst_share(z: Array, p: Array, rho: Array) -> Worst:
    """CVaR: the mean of Z over its largest share e^-rho of each group."""
    order = jnp.argsort(-z, axis=1)
    ranked, weight = jnp.take_along_axis(z, order, 1), jnp.take_along_axis(p, order, 1)
    room = jnp.exp(-rho) * p.sum(1, keepdims=True)
    before = jnp.cumsum(weight, axis=1) - weight
    taken = jnp.clip(room - before, 0, weight)
    density = jnp.where(weight > 0, taken / jnp.where(weight > 0, weight, 1), 0.0) * jnp.exp(rho)
    value = (taken * ranked).sum() * jnp.exp(rho)
    return Worst(value, jnp.take_along_axis(density, jnp.argsort(order, axis=1), 1))
