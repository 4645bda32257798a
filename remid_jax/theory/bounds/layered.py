"""What each factor adds: cascades, Shapley shares, and the layered bound (docs/theory.md, T4; docs/metric.md, section 4).

A shift is uncovered factor by factor, in one of six orders. With g_k = E_M[g | first k factors], s_k likewise, and the
martingale differences dg_k, ds_k, every row of `Layers` holds for the factor uncovered at that turn

    variance V = E dg^2,   tilt v = E ds^2,   divergence J = D_JS(first k factors) - D_JS(first k-1),   signed e = 2 E[dg ds].

Sums over a row: Var_M g, E s^2 (half of the triangle divergence), D_JS(P_X || Q_X), and (E_P - E_Q) g exactly.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.divergences import psi
from remid_jax.theory.worlds.quantities import Quantities, mean

ORDERS = tuple(itertools.permutations(range(3)))


class Layers(NamedTuple):
    """[6 orders, 3 factors], a column per factor (user, character, dialogue) whatever its turn; nats, and nats^2 for V."""

    variance: Float[Array, "6 3"]
    tilt: Float[Array, "6 3"]
    divergence: Float[Array, "6 3"]
    signed: Float[Array, "6 3"]

    @property
    def bound(self) -> Float[Array, "6 3"]:
        """B = 2 sqrt(V v): |e| <= B by Cauchy-Schwarz; sensitivity of the policy to the factor times the factor's shift."""
        return 2 * safe_sqrt(self.variance * self.tilt)


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(x), with gradient 0 at 0."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0.0)


def layers(of: Quantities) -> Layers:
    """The layers of a world in all six orders; increments of V and v come from differences of conditional means."""
    centred = of.g - mean(of.m, of.g)
    known = {subset: _given(of, centred, subset) for r in range(4) for subset in itertools.combinations(range(3), r)}
    rows: list[list[Array]] = []
    for order in ORDERS:
        added: dict[int, Array] = {}
        for turn, factor in enumerate(order):
            g, s, js = known[tuple(sorted(order[: turn + 1]))]
            g_before, s_before, js_before = known[tuple(sorted(order[:turn]))]
            dg, ds = g - g_before, s - s_before
            added[factor] = jnp.stack([mean(of.m, dg * dg), mean(of.m, ds * ds), js - js_before, 2 * mean(of.m, dg * ds)])
        rows.append([added[factor] for factor in range(3)])
    return Layers(*jnp.array(rows).transpose(2, 0, 1))


def _given(of: Quantities, g: Array, subset: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """E_M[g | factors], E_M[s | factors], spread over all contexts, and the divergence of those factors' laws."""
    others = tuple(axis for axis in range(3) if axis not in subset)
    m = of.m.sum(others, keepdims=True)
    inverse = jnp.where(m > 0, 1 / jnp.where(m > 0, m, 1), 0.0)
    g, s = ((of.m * values).sum(others, keepdims=True) * inverse for values in (g, of.s))
    if not subset:  # both means are 0, up to rounding
        g, s = jnp.zeros_like(g), jnp.zeros_like(s)
    return jnp.broadcast_to(g, of.m.shape), jnp.broadcast_to(s, of.m.shape), (m * psi(s)).sum()


def factor_divergences(of: Quantities) -> Float[Array, "3"]:
    """D_JS(P_z || Q_z) of each factor's own law; their sum is not D_JS(P_X || Q_X) unless factors are independent."""
    return jnp.stack([_given(of, of.g, (factor,))[2] for factor in range(3)])


def shapley(by_order: Float[Array, "6 3"]) -> Float[Array, "3"]:
    """The mean over the six orders: shares that depend on no order and sum to the same whole."""
    return by_order.mean(0)
