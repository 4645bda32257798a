"""Upper bounds on EMID, by the names of docs/theory.md, exact on finite worlds. "certified" bounds hold for every world.

Each takes the `Quantities` of a world and returns a `Bound`: its value and every term, in nats. `information` is the default.
Where golden replies shift as well (Q_{Y|x} differs from P_{Y|x}), certified bounds add the exact `concept` term.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.theory.bounds.balls import BALLS, divergence
from remid_jax.theory.bounds.layered import factor_divergences, layers, safe_sqrt
from remid_jax.theory.bounds.log_cosh import log_cosh_bound, spread
from remid_jax.theory.bounds.references import best_references
from remid_jax.theory.bounds.risk import gradient, risk, structured
from remid_jax.theory.divergences import LN2, entropy, js, tv, xlogx
from remid_jax.theory.worlds.quantities import (
    Quantities,
    conditional_entropies,
    kl_where,
    mean,
    quantities,
    replies_that_occur,
)
from remid_jax.theory.worlds.world import World

INPUT_ONLY = (2 - 2 * LN2) / LN2  # sup h/psi = .8854, at s = 1 (docs/theory.md, T2)


class Bound(NamedTuple):
    value: Float[Array, ""]
    terms: dict[str, Float[Array, "..."]]


def _sum(**terms: Float[Array, ""]) -> Bound:
    return Bound(sum(terms.values(), start=jnp.zeros(())), terms)


def variance(of: Quantities) -> Float[Array, ""]:
    """Var_M(g)."""
    return mean(of.m, (of.g - mean(of.m, of.g)) ** 2)


def range_of(values: Float[Array, "U C D"], m: Float[Array, "U C D"]) -> Float[Array, ""]:
    """max - min over contexts that occur."""
    return jnp.where(m > 0, values, -jnp.inf).max() - jnp.where(m > 0, values, jnp.inf).min()


def information(of: Quantities) -> Bound:
    """inf_{lambda, eta} 2 lambda (D_JS + E_M log cosh((g - eta)/lambda)) + T (docs/theory.md, T3; derived here; certified).

    The best bound on (E_P - E_Q) g from the law of g under M and D_JS(P_X || Q_X), by Fenchel-Young; then the exact T.
    """
    found = log_cosh_bound(of.g.ravel(), of.m.ravel(), of.js_x)
    bound = _sum(shift=found.value, output=of.output, concept=of.concept)
    return Bound(bound.value, bound.terms | {"lambda": found.scale, "eta": found.centre})


def information_references(of: Quantities) -> Bound:
    """`information` over every pair of references (docs/theory.md, T7; derived here; certified): the best bound from
    the kernels, M_X, the four output laws and D_JS. Never above `information`."""
    found = best_references(of)
    bound = _sum(shift=found.shift.value, known=found.known, output=of.output, concept=of.concept)
    return Bound(bound.value, bound.terms | {"lambda": found.shift.scale, "eta": found.shift.centre})


def information_variance(of: Quantities) -> Bound:
    """sqrt(8 Var_M(g) D_JS) + T (docs/theory.md, T3 (i); derived here; certified): Cauchy-Schwarz and Topsoe's
    sum (p-q)^2/(p+q) <= 4 D_JS."""
    return _sum(shift=safe_sqrt(8 * variance(of) * of.js_x), output=of.output, concept=of.concept)


def information_tv(of: Quantities) -> Bound:
    """osc(g) TV(P_X, Q_X) + (2 - 2 ln 2) TV(P_XY, Q_XY) (docs/theory.md, T2; derived here; certified): h <= h(1) |s|."""
    return _sum(shift=range_of(of.g, of.m) * of.tv_x, output=(2 - 2 * LN2) * of.tv_xy, concept=of.concept)


def input_only(of: Quantities) -> Bound:
    """sqrt(8 Var_M(g) D_JS(P_X || Q_X)) + .8854 D_JS(P_XY || Q_XY) (docs/theory.md, T2; derived here; certified).

    Without concept shift the second divergence is the first: no law of outputs enters.
    """
    return _sum(shift=safe_sqrt(8 * variance(of) * of.js_x), output=INPUT_ONLY * of.js_xy, concept=of.concept)


def layered(of: Quantities) -> Bound:
    """min over orders of sum_k 2 sqrt(V_k v_k), + T (docs/theory.md, T4; derived here; certified).

    Cauchy-Schwarz layer by layer. Terms `user`, `character`, `dialogue` are B_k in the best order and sum to `shift`; `order`
    is its row in layered.ORDERS.
    """
    by_order = layers(of).bound
    order = jnp.argmin(by_order.sum(1))
    bound = _sum(shift=by_order[order].sum(), output=of.output, concept=of.concept)
    of_factors = dict(zip(("user", "character", "dialogue"), by_order[order], strict=True))
    return Bound(bound.value, bound.terms | of_factors | {"order": order.astype(of.g.dtype)})


def unknown_shift(of: Quantities) -> Bound:
    """2 E_M |g - median| + T (docs/theory.md, T3; derived here; certified): `information` at ln 2, the largest D_JS."""
    return _sum(shift=spread(of.g.ravel(), of.m.ravel())[0], output=of.output, concept=of.concept)


def entropy_bound(of: Quantities) -> Bound:
    """osc(h_theta - h_golden) TV(P_X, Q_X) + phi_N + phi_N (docs/metric.md, section 4; repaired here; certified).

    The two phi_N (Fannes-Audenaert) are of the total variations of P_Ytheta from P_Y and of Q_Ytheta from Q_Y, or of P_Ytheta
    from Q_Ytheta and of P_Y from Q_Y, whichever is smaller in sum. N counts the replies that occur.
    """
    h_theta, h_golden = conditional_entropies(of)
    size = replies_that_occur(of.outputs)
    p_theta, q_theta, p_golden, q_golden = of.outputs
    by_world = phi(tv(p_theta, p_golden), size) + phi(tv(q_theta, q_golden), size)
    by_kernel = phi(tv(p_theta, q_theta), size) + phi(tv(p_golden, q_golden), size)
    of_p = jnp.where(of.p > 0, entropy(of.golden_p), 0.0)
    return _sum(
        shift=range_of(h_theta - h_golden, of.m) * of.tv_x,
        output=jnp.minimum(by_world, by_kernel),
        concept=mean(of.p, of_p - h_golden),
    )


def phi(t: Float[Array, ""], size: Float[Array, ""]) -> Float[Array, ""]:
    """phi_N(t) = t log(N - 1) + h_b(t) up to t = 1 - 1/N, log N beyond: |H(p) - H(q)| <= phi_N(TV(p, q)), sharp."""
    several = jnp.maximum(size, 2)
    rising = t * jnp.log(several - 1) - xlogx(t) - xlogx(1 - t)
    return jnp.where(t <= 1 - 1 / size, jnp.where(size > 1, rising, 0.0), jnp.log(size))


def _published_terms(of: Quantities) -> tuple[Array, Array, Array]:
    """Hhat, sum_z sqrt(D_JS(P_z || Q_z)), Delta."""
    h_theta, h_golden = conditional_entropies(of)
    p_theta, q_theta, p_golden, q_golden = of.outputs
    largest = jnp.where(of.m > 0, h_theta + h_golden, 0.0).max()
    return largest, safe_sqrt(factor_divergences(of)).sum(), js(p_theta, p_golden) + js(q_theta, q_golden)


def published(of: Quantities) -> Bound:
    """sqrt(2/3) Hhat sum_z D_JS(P_z || Q_z)^(1/2) + 8 Delta^(1/4) (arXiv 2512.17270, as published; NOT a bound).

    Hhat = max_x [H(Q_{Y|x}) + H(P_theta(.|x))], Delta = D_JS(P_Ytheta || P_Y) + D_JS(Q_Ytheta || Q_Y). The worlds W2 to W5 and
    W10 break it (docs/theory.md, section 1).
    """
    largest, shift, delta = _published_terms(of)
    return _sum(shift=math.sqrt(2 / 3) * largest * shift, output=8 * safe_sqrt(safe_sqrt(delta)))


def published_scaled(of: Quantities) -> Bound:
    """`published` without Hhat and 8, which Oh et al. (arXiv 2502.00577) plot as "scale-adjusted": an index, not a bound."""
    _, shift, delta = _published_terms(of)
    return _sum(shift=math.sqrt(2 / 3) * shift, output=safe_sqrt(safe_sqrt(delta)))


def risk_at_q(ball: str, of: Quantities) -> Bound:
    """The worst EMID over the ball around P_X whose radius is Q_X's own (docs/theory.md, T6; derived here; certified).

    It guards against the worst shift of that size and knows nothing else of Q; infinite unless Q_X << P_X (by a density below
    1e120, so that the duals stay within floating point).
    """
    covered = ~((of.q > 0) & (of.p < 1e-120)).any()
    at = structured(gradient(of.p, of.theta, of.golden_p), "any")
    density = jnp.where(of.p > 0, of.q / jnp.where(of.p > 0, of.p, 1), 1.0).reshape(at.p.shape)
    rho = jnp.maximum(divergence(ball, density, at.p), 0)
    found = risk(ball, at, rho)
    p_golden = of.outputs.p_golden
    concept = mean(of.q, kl_where(of.q, of.golden, p_golden) - kl_where(of.q, of.golden_p, p_golden))
    bound = _sum(
        shift=jnp.where(covered, found.linear, jnp.inf), penalty=found.penalty, concept=jnp.where(covered, concept, 0.0)
    )
    return Bound(bound.value, bound.terms | {"rho": jnp.where(covered, rho, jnp.inf)})


CERTIFIED: dict[str, Callable[[Quantities], Bound]] = {
    "information": information,
    "information_references": information_references,
    "information_variance": information_variance,
    "information_tv": information_tv,
    "input_only": input_only,
    "layered": layered,
    "unknown_shift": unknown_shift,
    "entropy": entropy_bound,
    **{f"risk_{ball}": functools.partial(risk_at_q, ball) for ball in BALLS},
}
FOR_COMPARISON: dict[str, Callable[[Quantities], Bound]] = {"published": published, "published_scaled": published_scaled}
BOUNDS = CERTIFIED | FOR_COMPARISON

WORTH_COMPARING = 1e-3  # nats of EMID from which a ratio to a bound says something


def every_bound(world: World, terms: bool = False) -> dict[str, Array]:
    """`emid` and the value of every bound of a world, by name; with `terms` also each bound's terms, as "information/output",
    and what the factors' shifts contribute, as "attribution/..." (see `layered.Layers`)."""
    of = quantities(world)
    bounds = {name: bound(of) for name, bound in BOUNDS.items()}
    found = {"emid": of.emid} | {name: bound.value for name, bound in bounds.items()}
    if terms:
        found |= {f"{name}/{term}": value for name, bound in bounds.items() for term, value in bound.terms.items()}
        by_order = layers(of)
        found |= {f"attribution/{name}": value for name, value in by_order._asdict().items()}
        found |= {"attribution/bound": by_order.bound, "attribution/factor_divergence": factor_divergences(of)}
    return found


def violated(emid: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Where EMID > bound + 1e-9 + 1e-9 |bound|, or the bound is no number."""
    with np.errstate(invalid="ignore"):
        return ~(emid <= bound + 1e-9 + 1e-9 * np.abs(bound))


def tightness(found: Mapping[str, np.ndarray]) -> dict[str, dict[str, float | int]]:
    """For each bound among the arrays of `every_bound`: quantiles of EMID/bound over worlds with EMID > .001 nats, how many
    those are, and in how many of all worlds the bound fails."""
    emid = found["emid"]
    counted = emid > WORTH_COMPARING
    rows: dict[str, dict[str, float | int]] = {}
    for name in BOUNDS:
        row: dict[str, float | int] = {"worlds": int(counted.sum()), "violations": int(violated(emid, found[name]).sum())}
        if counted.any():
            ratio = emid[counted] / found[name][counted]
            row |= {"median": float(np.median(ratio)), "q95": float(np.quantile(ratio, 0.95)), "highest": float(ratio.max())}
        rows[name] = row
    return rows
