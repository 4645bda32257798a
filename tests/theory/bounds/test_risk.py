"""Duals against primals by brute force, the worst case bracketed by attack and risk, and coverage of the confident versions."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from scipy.optimize import minimize

from remid_jax.theory.bounds.attack import attack
from remid_jax.theory.bounds.balls import BALLS, divergence, worst_mean
from remid_jax.theory.bounds.risk import (
    Gradient,
    gradient,
    risk,
    structured,
)

DIVERGENCES = {
    "chi2": lambda t: (t - 1) ** 2,
    "kl": lambda t: special.xlogy(t, t) - t + 1,
    "js": lambda t: (special.xlogy(t, 2 * t / (1 + t)) + np.log(2 / (1 + t))) / 2,
}


@functools.cache
def compiled(ball):
    return jax.jit(functools.partial(worst_mean, ball))


def dual(ball, z, p, rho):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled(ball)(*map(jnp.asarray, (z, p, rho))))


def primal(ball, z, p, rho, rng):
    """max E_P[t z] by SLSQP from several starts."""
    groups = p.sum(1)
    means = {"type": "eq", "fun": lambda t: (p * t.reshape(p.shape)).sum(1) - groups}
    constraints, top = [means], None
    if ball == "subpopulation":
        top = math.exp(rho)
    else:
        constraints.append({"type": "ineq", "fun": lambda t: rho - (p * DIVERGENCES[ball](t.reshape(p.shape))).sum()})
    best = -np.inf
    for _ in range(4):
        start = 1 + 0.2 * rng.uniform(-1, 1, p.shape)
        start /= (p * start).sum(1, keepdims=True) / groups[:, None]
        search = minimize(
            lambda t: -(p * z).ravel() @ t, start.ravel(), jac=lambda t: -(p * z).ravel(), bounds=[(0, top)] * p.size,
            constraints=constraints, method="SLSQP", options={"maxiter": 1000, "ftol": 1e-14},
        )  # fmt: skip
        if search.success:
            best = max(best, -search.fun)
    return best


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("shape", [(1, 4), (3, 3)])
def test_the_dual_is_the_primal(ball, shape):
    rng = np.random.default_rng(0)
    for _ in range(8):
        p, z = rng.dirichlet(np.full(math.prod(shape), 0.8)).reshape(shape), rng.normal(size=shape) * 3
        rho = math.exp(rng.uniform(math.log(1e-3), math.log(0.6)))
        found = dual(ball, z, p, rho)
        assert found.value == pytest.approx(primal(ball, z, p, rho, rng), abs=1e-5 * np.ptp(z))
        # The worst law is in the ball, keeps every group's probability, and attains the value.
        with jax.enable_x64(True):
            assert float(divergence(ball, jnp.asarray(found.density), jnp.asarray(p))) <= rho * (1 + 1e-6)
        np.testing.assert_allclose((p * found.density).sum(1), p.sum(1), atol=1e-8)
        assert (p * found.density * z).sum() == pytest.approx(found.value, abs=1e-6 * np.ptp(z))


def test_contexts_that_never_occur_and_large_balls():
    z, p = np.array([[0.0, 1.0, 5.0]]), np.array([[0.5, 0.5, 0.0]])
    for ball in BALLS:
        assert dual(ball, z, p, 10.0).value == pytest.approx(1, abs=1e-3)
        alone = dual(ball, z[:, :2], p[:, :2], 0.05).value
        assert dual(ball, z, p, 0.05).value == pytest.approx(alone, abs=1e-12)
        assert dual(ball, z, p, 1e-12).value == pytest.approx(0.5, abs=1e-3)


def test_closed_forms_of_small_balls():
    """chi2: mean + sqrt(rho Var) while no density reaches 0; subpopulation: the mean of the worst share."""
    rng = np.random.default_rng(1)
    p, z = np.full((1, 10), 0.1), rng.normal(size=(1, 10))
    assert dual("chi2", z, p, 0.01).value == pytest.approx(z.mean() + math.sqrt(0.01 * z.var()), abs=1e-9)
    assert dual("subpopulation", z, p, math.log(5)).value == pytest.approx(np.sort(z.ravel())[-2:].mean(), abs=1e-12)
    assert dual("subpopulation", z, p, math.log(4)).value == pytest.approx(
        (np.sort(z.ravel())[-2:].sum() + np.sort(z.ravel())[-3] / 2) / 2.5, abs=1e-12
    )


# ------------------------------------------------------------------------------------------------------------------ risk


def emi(law, theta, golden):
    def information(kernel):
        output = np.tensordot(law, kernel, law.ndim)
        return (law[..., None] * special.rel_entr(kernel, output)).sum()

    return information(theta) - information(golden)


def random_kernels(rng, shape, replies=4):
    return rng.dirichlet(np.full(replies, 0.5), shape), rng.dirichlet(np.full(replies, 0.5), shape)


def risk_of(ball, p, theta, golden, rho, shift="any"):
    with jax.enable_x64(True):
        of = compiled_gradient(shift)(*map(jnp.asarray, (p, theta, golden)))
        return jax.tree.map(float, compiled_risk(ball)(of, jnp.asarray(rho)))


@functools.cache
def compiled_gradient(shift):
    return jax.jit(lambda p, theta, golden: structured(gradient(p, theta, golden), shift))


@functools.cache
def compiled_risk(ball):
    return jax.jit(functools.partial(risk, ball))


def worst_by_grid(ball, p, theta, golden, rho, steps=120):
    """The largest EMID over a grid of laws of three contexts inside the ball."""
    a, b = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1))
    inside = a + b <= steps
    laws = np.stack([a[inside], b[inside], steps - a[inside] - b[inside]], 1) / steps
    t = laws / p
    radius = np.log(t.max(1)) if ball == "subpopulation" else (p * DIVERGENCES[ball](t)).sum(1)
    start = emi(p, theta, golden)
    return max([start - emi(law, theta, golden) for law in laws[radius <= rho]], default=0.0)


def attacked(ball, p, theta, golden, rho):
    """(the worst that `attack` finds, the divergence of its density from P), of a law P of any shape, in one group."""
    kernels = (jnp.asarray(kernel).reshape(p.size, -1) for kernel in (theta, golden))
    return compiled_attack(ball)(jnp.asarray(p).reshape(1, -1), *kernels, jnp.asarray(rho))


@functools.cache
def compiled_attack(ball):
    def of_world(p, theta, golden, rho):
        def emi_of_density(density):
            law = (p * density).ravel()[:, None]

            def information(kernel):
                output = (law * kernel).sum(0)
                return (law * kernel * (jnp.log(kernel) - jnp.log(output))).sum()

            return information(theta) - information(golden)

        best = attack(emi_of_density, ball, p, rho)
        return best, divergence(ball, best.density, p)

    return jax.jit(of_world)


@pytest.mark.parametrize("ball", BALLS)
def test_attack_below_truth_below_risk(ball):
    rng = np.random.default_rng(2)
    gaps = []
    for _ in range(10):
        p = rng.dirichlet(np.full(3, 3.0))
        theta, golden = random_kernels(rng, 3)
        rho = math.exp(rng.uniform(math.log(0.02), math.log(0.5)))
        truth = worst_by_grid(ball, p, theta, golden, rho)
        found = risk_of(ball, p.reshape(3, 1, 1), theta.reshape(3, 1, 1, 4), golden.reshape(3, 1, 1, 4), rho)
        assert found.linear + found.penalty == pytest.approx(found.value, abs=1e-12)
        assert truth <= found.value + 1e-9
        with jax.enable_x64(True):
            best, radius = attacked(ball, p, theta, golden, rho)
        assert float(radius) <= rho * (1 + 1e-6)
        law = p * np.asarray(best.density)[0]
        assert law.sum() == pytest.approx(1, abs=1e-8)
        assert float(best.emid) == pytest.approx(emi(p, theta, golden) - emi(law, theta, golden), abs=1e-9)
        assert float(best.emid) <= found.value + 1e-9
        gaps.append(truth - float(best.emid))
    assert np.median(gaps) < 5e-3  # the attack finds what the grid finds, up to the grid's own steps
    assert max(gaps) < 0.2


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize(("shift", "axes"), [("user", (1, 2)), ("character", (0, 2)), ("dialogue", None)])
def test_structured_risk_holds_for_shifts_of_that_factor_and_is_no_looser(ball, shift, axes):
    rng = np.random.default_rng(3)
    tighter = []
    for _ in range(6):
        shape = (3, 2, 3)
        p = rng.dirichlet(np.ones(18)).reshape(shape)
        theta, golden = random_kernels(rng, shape)
        for size in (0.2, 1.0):
            if axes is not None:
                factor = p.sum(axes, keepdims=True)
                shifted = factor * np.exp(size * rng.normal(size=factor.shape))
                q = p / factor * shifted / shifted.sum()
            else:
                tilted = p * np.exp(size * rng.normal(size=shape))
                q = tilted / tilted.sum(2, keepdims=True) * p.sum(2, keepdims=True)
            t = q / p
            radius = np.log(t.max()) if ball == "subpopulation" else (p * DIVERGENCES[ball](t)).sum()
            loss = emi(p, theta, golden) - emi(q, theta, golden)
            narrow, wide = (risk_of(ball, p, theta, golden, radius, kind) for kind in (shift, "any"))
            assert loss <= narrow.value + 1e-9
            assert narrow.linear <= wide.linear + 1e-6
            tighter.append(narrow.value / wide.value)
    assert np.median(tighter) < 0.95


def test_without_less_noisy_golden_replies_the_linear_part_alone_can_fail_and_with_them_it_holds():
    """docs/theory.md, T6 (e): a policy that is golden followed by a channel loses at most the linear part; no penalty."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(6)).reshape(6, 1, 1), rng.dirichlet(np.ones(6)).reshape(6, 1, 1)
        golden = rng.dirichlet(np.full(4, 0.4), (6, 1, 1))
        theta = golden @ rng.dirichlet(np.full(4, 0.5), 4)
        loss = emi(p, theta, golden) - emi(q, theta, golden)
        for ball in ("kl", "chi2"):
            radius = (p * DIVERGENCES[ball](q / p)).sum()
            assert loss <= risk_of(ball, p, theta, golden, radius).linear + 1e-9


def test_small_balls_are_first_order_sharp():
    """sup over the KL ball = sqrt(2 rho Var_P g) + O(rho), docs/theory.md, T6 (g)."""
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.ones(8)).reshape(8, 1, 1)
    theta, golden = random_kernels(rng, (8, 1, 1))
    with jax.enable_x64(True):
        of = gradient(*map(jnp.asarray, (p, theta, golden)))
        g = np.asarray(of.g_theta - of.g_golden)
    variance = (p * (g - (p * g).sum()) ** 2).sum()
    for rho in (1e-5, 1e-6):
        found = risk_of("kl", p, theta, golden, rho)
        assert found.value == pytest.approx(math.sqrt(2 * rho * variance), abs=20 * rho)
        with jax.enable_x64(True):
            best, _radius = attacked("kl", p, theta, golden, rho)
        assert float(best.emid) == pytest.approx(math.sqrt(2 * rho * variance), rel=0.02)


def worst_over_ball(ball, p, theta, golden, rho):
    with jax.enable_x64(True):
        return float(attacked(ball, p, theta, golden, rho)[0].emid)


def chi2_with_confidence(g, rho, width, delta):
    """sqrt(rho) (sd_n + b sqrt(2 ln(1/delta)/(n-1))) + log(1 + rho): holds with probability 1 - delta over n independent
    contexts when g spans at most `width` = b and its references were fixed beforehand (Maurer and Pontil 2009)."""
    n = g.shape[0]
    return jnp.sqrt(rho) * (g.std(ddof=1) + width * jnp.sqrt(2 * np.log(1 / delta) / (n - 1))) + jnp.log1p(rho)


def ball_with_confidence(ball, g, rho, low, high, delta):
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


def test_the_confident_chi2_version_covers_in_1000_draws():
    """At least 95%, against the exact penalised value of the world the contexts are drawn from: sqrt(rho Var) + log(1+rho)."""
    rng = np.random.default_rng(6)
    p = rng.dirichlet(np.ones(20))
    theta, golden = random_kernels(rng, 20)
    with jax.enable_x64(True):
        of = gradient(*(jnp.asarray(a) for a in (p.reshape(20, 1, 1), theta[:, None, None], golden[:, None, None])))
        g = np.asarray(of.g_theta - of.g_golden).ravel()
    rho, width = 0.05, np.ptp(g)
    target = math.sqrt(rho * (p @ (g - p @ g) ** 2)) + math.log1p(rho)
    truth = worst_over_ball("chi2", p, theta, golden, rho)
    assert truth <= target
    drawn = g[rng.choice(20, p=p, size=(1000, 200))]
    with jax.enable_x64(True):
        limits = np.asarray(jax.vmap(lambda sample: chi2_with_confidence(sample, rho, width, 0.05))(jnp.asarray(drawn)))
    assert np.mean(limits >= target) >= 0.95
    assert np.mean(limits >= truth) >= 0.95
    margin = math.sqrt(rho) * width * math.sqrt(2 * math.log(20) / 199)
    assert np.median(limits) - target == pytest.approx(margin, rel=0.1)


@pytest.mark.parametrize("ball", ["kl", "chi2", "subpopulation"])
def test_the_confident_version_of_any_ball_covers(ball):
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.ones(20))
    theta, golden = random_kernels(rng, 20)
    with jax.enable_x64(True):
        of = gradient(*(jnp.asarray(a) for a in (p.reshape(20, 1, 1), theta[:, None, None], golden[:, None, None])))
        g = np.asarray(of.g_theta - of.g_golden).ravel()
        target = float(risk(ball, structured(of, "any"), jnp.asarray(0.1)).value)
        limit = jax.jit(lambda sample: ball_with_confidence(ball, sample, 0.1, g.min(), g.max(), 0.05))
        limits = [float(limit(jnp.asarray(g[rng.choice(20, p=p, size=400)]))) for _ in range(60)]
    assert np.mean(np.array(limits) >= target) >= 0.95
    assert np.median(limits) < 6 * target


def test_the_gradient_is_that_of_emi():
    """d EMI / dP along a direction that sums to 0 is E g there: P's own references make g the gradient."""
    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.ones(6))
    theta, golden = random_kernels(rng, 6)
    direction = rng.normal(size=6)
    direction -= direction.mean()
    with jax.enable_x64(True):
        of = gradient(*(jnp.asarray(a) for a in (p.reshape(6, 1, 1), theta[:, None, None], golden[:, None, None])))
        assert isinstance(of, Gradient)
        assert float(of.emi) == pytest.approx(emi(p, theta, golden), abs=1e-12)
        slope = direction @ np.asarray(of.g_theta - of.g_golden).ravel()
    values = [emi(p + step * direction, theta, golden) for step in (1e-6, -1e-6)]
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("ball", BALLS)
def test_a_ball_of_no_radius_holds_p_alone_and_a_rare_context_breaks_nothing(ball):
    rng = np.random.default_rng(3)
    z, p = rng.normal(size=(1, 5)), rng.dirichlet(np.ones(5))[None]
    for rho in (0.0, 1e-200, 1e-15):
        assert dual(ball, z, p, rho).value == pytest.approx((p * z).sum(), abs=2e-6 * np.ptp(z))
    rare = np.array([[0.5, 0.5 - 1e-15, 1e-15]])
    found = dual(ball, np.array([[0.0, 1.0, 13.0]]), rare, 4e-5)
    assert 0.5 <= found.value < 0.6
