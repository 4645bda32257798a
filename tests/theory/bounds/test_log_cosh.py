"""The log-cosh bound is the worst case for a given law of g and D_JS: against a general optimiser, and primally."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from remid_jax.theory.bounds.log_cosh import log_cosh_bound, weighted_median
from remid_jax.theory.divergences import js


@functools.cache
def compiled():
    return jax.jit(log_cosh_bound)


def bound(g, m, divergence):
    with jax.enable_x64(True):
        return [float(part) for part in compiled()(*map(jnp.asarray, (g, m, float(divergence))))]


def random_case(seed, contexts=6):
    rng = np.random.default_rng(seed)
    m = rng.dirichlet(np.full(contexts, 0.8))
    g = rng.normal(size=contexts) * np.exp(rng.normal())
    if seed % 3 == 0:
        g = np.append(np.round(g[1:]), 1.5)  # few values: flat directions
    if seed % 3 == 1:
        g = np.sinh(2 * g)  # heavy tails
    return g, m, float(np.exp(rng.uniform(np.log(1e-10), np.log(np.log(2)))))


@pytest.mark.parametrize("seed", range(24))
def test_it_is_the_minimum_that_a_general_search_finds(seed):
    g, m, divergence = random_case(seed)

    def objective(at):
        scale = np.exp(at[0])
        v = np.abs(g - at[1]) / scale
        return 2 * scale * (divergence + m @ (v + np.log1p(np.exp(-2 * v)) - np.log(2)))

    found = bound(g, m, divergence)[0]
    deviation = np.sqrt(m @ (g - m @ g) ** 2)
    starts = [(np.log(deviation * size), centre) for size in (0.01, 0.3, 1, 30) for centre in (m @ g, np.median(g))]
    options = {"xatol": 1e-11, "fatol": 1e-14, "maxiter": 5000}
    least = min(minimize(objective, at, method="Nelder-Mead", options=options).fun for at in starts)
    assert found == pytest.approx(least, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_two_laws_of_that_divergence_attain_it(seed):
    g, m, divergence = random_case(seed + 100)
    value, scale, centre = bound(g, m, divergence / 3)
    s = np.tanh((g - centre) / scale)
    p, q = m * (1 + s), m * (1 - s)
    with jax.enable_x64(True):
        assert float(js(jnp.asarray(p), jnp.asarray(q))) == pytest.approx(divergence / 3, rel=1e-5, abs=1e-13)
    assert p.sum() == pytest.approx(1, abs=1e-6)
    assert (p - q) @ g == pytest.approx(value, rel=1e-6)


@given(st.integers(0, 10**6))
def test_it_never_passes_cauchy_schwarz_or_the_spread_and_grows_with_the_divergence(seed):
    g, m, divergence = random_case(seed)
    value = bound(g, m, divergence)[0]
    variance = m @ (g - m @ g) ** 2
    order = np.argsort(g)
    median = g[order][np.argmax(np.cumsum(m[order]) >= 0.5)]
    with jax.enable_x64(True):
        assert float(weighted_median(jnp.asarray(g), jnp.asarray(m))) == median
    assert value <= np.sqrt(8 * variance * divergence) * (1 + 1e-9) + 1e-12
    assert value <= 2 * m @ np.abs(g - median) * (1 + 1e-12)
    assert bound(g, m, divergence / 2)[0] <= value * (1 + 1e-9)
    shifted, scaled = bound(g + 3, m, divergence)[0], bound(5 * g, m, divergence)[0]
    assert shifted == pytest.approx(value, rel=1e-4, abs=1e-9)
    assert scaled == pytest.approx(5 * value, rel=1e-4, abs=1e-9)


def test_its_gradient_is_that_of_finite_differences():
    g, m, divergence = random_case(1)
    with jax.enable_x64(True):
        at = tuple(map(jnp.asarray, (g, m, divergence)))
        slopes = jax.grad(lambda *a: log_cosh_bound(*a).value, argnums=(0, 2))(*at)
        for place in range(3):
            values = [float(log_cosh_bound(at[0].at[place].add(step), *at[1:]).value) for step in (1e-5, -1e-5)]
            assert float(slopes[0][place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-8)
        step = divergence * 1e-4
        values = [float(log_cosh_bound(*at[:2], at[2] + sign * step).value) for sign in (1, -1)]
        assert float(slopes[1]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_a_constant_g_or_no_divergence_gives_nothing():
    assert bound(np.full(4, 2.0), np.full(4, 0.25), 0.3)[0] == pytest.approx(0, abs=1e-12)
    assert bound(np.arange(4.0), np.full(4, 0.25), 0.0)[0] == pytest.approx(0, abs=1e-12)
    assert bound(np.arange(4.0), np.full(4, 0.25), np.log(2))[0] == pytest.approx(2.0, abs=1e-12)
