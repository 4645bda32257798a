"""Statements of docs/theory.md that no function computes, on random worlds: T2's increasing ratio, T4's E, T5, section 4."""

import numpy as np
import pytest
from scipy.special import rel_entr, xlogy

SHAPE, REPLIES = (3, 2, 3), 4
SEEDS = range(40)


def psi(s):
    return (xlogy(1 + s, 1 + s) + xlogy(1 - s, 1 - s)) / 2


def kl(a, b):
    return rel_entr(a, b).sum(-1)


def js(a, b):
    return (kl(a, (a + b) / 2) + kl(b, (a + b) / 2)) / 2


def information(law, kernel):
    return law @ kl(kernel, law @ kernel)


def random_laws(rng):
    concentration = 10 ** rng.uniform(-1, 1)
    return rng.dirichlet(np.full(18, concentration)), rng.dirichlet(np.full(18, concentration))


def random_kernel(rng):
    return rng.dirichlet(np.full(REPLIES, 0.5), 18)


def test_t2_h_over_psi_increases_up_to_8854():
    s = np.linspace(1e-3, 1, 100_001)
    ratio = (2 * s + xlogy(1 - s, 1 - s) - xlogy(1 + s, 1 + s)) / psi(s)
    assert np.all(np.diff(ratio) > 0)
    assert ratio[-1] == pytest.approx((2 - 2 * np.log(2)) / np.log(2), abs=1e-12)
    assert ratio[-1] == pytest.approx(0.8854, abs=5e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_t4_e_log_cosh_inside_a_layer(seed):
    """e_k <= 2 lambda (J_k + E log(cosh v + s_{k-1} sinh v)) for any lambda, and B_k in between the two others' bounds."""
    rng = np.random.default_rng(seed)
    p, q = random_laws(rng)
    m, s, g = (array.reshape(SHAPE) for array in ((p + q) / 2, (p - q) / (p + q), rng.normal(size=18) * 3))

    def given(values, first):
        """E_M[values | the first factors], at every context."""
        others = tuple(range(first, 3))
        return np.broadcast_to((m * values).sum(others, keepdims=True) / m.sum(others, keepdims=True), SHAPE)

    total = 0.0
    for k in (1, 2, 3):
        before = given(s, k - 1)
        dg, ds = given(g, k) - given(g, k - 1), given(s, k) - before
        added = (m * (psi(given(s, k)) - psi(before))).sum()
        signed, product = 2 * (m * dg * ds).sum(), 2 * np.sqrt((m * dg**2).sum() * (m * ds**2).sum())
        assert signed <= product + 1e-12
        assert product <= np.sqrt(8 * (m * dg**2).sum() * added) + 1e-12
        for scale in (0.3, 1.0, 3.0, 10.0):
            v = dg / scale
            assert signed <= 2 * scale * (added + (m * np.log(np.cosh(v) + before * np.sinh(v))).sum()) + 1e-9
        total += signed
    assert total == pytest.approx((p - q) @ g.ravel(), abs=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_t5_divergences_of_independent_factors_add_up_to_no_less(seed):
    rng = np.random.default_rng(seed)
    factors = [rng.dirichlet(np.ones(size), 2) for size in SHAPE]
    whole = [np.einsum("u,c,d->ucd", *(factor[side] for factor in factors)).ravel() for side in (0, 1)]
    assert js(*whole) <= sum(js(*factor) for factor in factors) + 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_section_4_what_a_wrong_q_may_hide(seed):
    """EMID <= EMID_q + E_Q KL(Q_{Y|X} || q), and the mixture's population value is at most I."""
    rng = np.random.default_rng(seed)
    p, q = random_laws(rng)
    theta, golden, wrong = (random_kernel(rng) for _ in range(3))
    of_policy = information(p, theta) - information(q, theta)
    by_mixture = [law @ (golden * np.log(wrong / (law @ wrong))).sum(1) for law in (p, q)]
    assert by_mixture[0] <= information(p, golden) + 1e-12
    emid = of_policy - information(p, golden) + information(q, golden)
    assert emid <= of_policy - by_mixture[0] + by_mixture[1] + q @ kl(golden, wrong) + 1e-9
