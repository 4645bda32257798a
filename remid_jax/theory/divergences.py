"""Entropies and divergences of probability vectors, in nats, safe at zeros, for values and for gradients.

Every function sums over the last axis and broadcasts over the axes before it. Differences that vanish as P -> Q keep their
relative accuracy, because they are computed from the *tilt* s = (p - q) / (p + q) and not as differences of entropies.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

LN2 = 0.6931471805599453


def xlogx(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """p log p, 0 at p = 0, with gradient 0 there."""
    return jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0.0)


def entropy(p: Float[Array, "... Y"]) -> Float[Array, "..."]:
    """H(p) = -sum p log p, nats.

    >>> round(float(entropy(jnp.array([0.5, 0.5]))), 4)
    0.6931
    """
    return -xlogx(p).sum(-1)


def kl(p: Float[Array, "... Y"], q: Float[Array, "... Y"]) -> Float[Array, "..."]:
    """KL(p || q) = sum p log(p/q), nats; 0 log 0/q = 0, and infinite where q lacks mass that p has.

    >>> round(float(kl(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75]))), 4)
    0.1438
    """
    p, q = jnp.broadcast_arrays(p, q)
    both = (p > 0) & (q > 0)
    finite = jnp.where(both, p * jnp.log(jnp.where(both, p, 1) / jnp.where(both, q, 1)), 0.0).sum(-1)
    return jnp.where(((p > 0) & (q <= 0)).any(-1), jnp.inf, finite)


def tilt(p: Float[Array, "..."], q: Float[Array, "..."]) -> Float[Array, "..."]:
    """s = (p - q) / (p + q), within -1 .. 1; 0 where both are 0. Under M = (p + q)/2 its mean is 0."""
    total = p + q
    return jnp.where(total > 0, (p - q) / jnp.where(total > 0, total, 1), 0.0)


def psi(s: Float[Array, "..."]) -> Float[Array, "..."]:
    """((1+s) log(1+s) + (1-s) log(1-s)) / 2, for |s| <= 1: E_M psi(s) is the Jensen-Shannon divergence; psi(s) >= s^2/2."""
    inner = jnp.where(jnp.abs(s) < 0.5, s, 0.0)
    near_zero = inner * jnp.arctanh(inner) + jnp.log1p(-inner * inner) / 2  # no cancellation: both terms are of order s^2
    return jnp.where(jnp.abs(s) < 0.5, near_zero, (xlogx(1 + s) + xlogx(1 - s)) / 2)


def h(s: Float[Array, "..."]) -> Float[Array, "..."]:
    """2s + (1-s) log(1-s) - (1+s) log(1+s) = s^3/3 + s^5/10 + s^7/21 + ..., odd, for |s| <= 1 (docs/theory.md, T2).

    E_M h(s) = KL(Q || M) - KL(P || M), because E_M s = 0.
    """
    near, square = jnp.abs(s) < 0.1, jnp.where(jnp.abs(s) < 0.1, s, 0.0) ** 2
    series = s * square * (1 / 3 + square * (1 / 10 + square * (1 / 21 + square * (1 / 36 + square / 55))))
    outer = jnp.where(near, 0.5, s)
    return jnp.where(near, series, 2 * outer + xlogx(1 - outer) - xlogx(1 + outer))


def js(p: Float[Array, "... Y"], q: Float[Array, "... Y"]) -> Float[Array, "..."]:
    """D_JS(p || q) = (KL(p || m) + KL(q || m)) / 2, m = (p + q)/2; within 0 .. ln 2."""
    return ((p + q) / 2 * psi(tilt(p, q))).sum(-1)


def tv(p: Float[Array, "... Y"], q: Float[Array, "... Y"]) -> Float[Array, "..."]:
    """Total variation sum |p - q| / 2."""
    return jnp.abs(p - q).sum(-1) / 2


def log_cosh(v: Float[Array, "..."]) -> Float[Array, "..."]:
    """log cosh v = |v| + log1p(expm1(-2|v|)/2): no overflow far out, and an error of order eps |v| where it is v^2/2."""
    size = jnp.abs(v)
    return size + jnp.log1p(jnp.expm1(-2 * size) / 2)
