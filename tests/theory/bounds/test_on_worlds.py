"""Every bound against its formula by hand; no certified bound fails on random worlds; the best references are the best."""

import functools
import math

import jax
import numpy as np
import plain_worlds
import pytest
from scipy.optimize import minimize

from remid_jax.parallel import Devices
from remid_jax.theory.bounds.log_cosh import log_cosh_bound
from remid_jax.theory.bounds.on_worlds import BOUNDS, CERTIFIED, every_bound, tightness, violated
from remid_jax.theory.worlds import from_arrays, in_blocks, quantities
from remid_jax.theory.worlds.scenarios import SCENARIOS


@functools.cache
def compiled():
    return jax.jit(lambda world: (every_bound(world, terms=True), quantities(world)))


def bounds_of(arrays):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled()(from_arrays({name: a[None] for name, a in arrays.items()})[0]))


def entropies(arrays):
    """(h_theta, h_golden under Q, h_golden under P) at every context."""
    kernels = (arrays["theta"], arrays["q_y"], arrays["p_y"])
    return [np.where(kernel > 0, -kernel * np.log(np.where(kernel > 0, kernel, 1)), 0).sum(-1) for kernel in kernels]


def phi(t, n):
    if t > 1 - 1 / n:
        return math.log(n)
    return t * math.log(n - 1) - sum(p * math.log(p) for p in (t, 1 - t) if p > 0)


@pytest.mark.parametrize("concept", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_the_formulas_by_hand(seed, concept):
    arrays = plain_worlds.random_world(np.random.default_rng(seed), concept=concept)
    found, _of = bounds_of(arrays)
    p, q = arrays["p_x"], arrays["q_x"]
    m = (p + q) / 2
    tv_x = np.abs(p - q).sum() / 2
    tv_xy = np.abs(p[..., None] * arrays["p_y"] - q[..., None] * arrays["q_y"]).sum() / 2
    joints = [plain_worlds.joint(arrays[law], arrays[kernel]) for law, kernel in (("p_x", "p_y"), ("q_x", "q_y"))]
    js_x, js_xy = plain_worlds.js(plain_worlds.law_of(p), plain_worlds.law_of(q)), plain_worlds.js(*joints)
    outputs = {
        name: dict(enumerate(np.tensordot(law, arrays[kernel], 3)))
        for name, law, kernel in (("pt", p, "theta"), ("qt", q, "theta"), ("py", p, "p_y"), ("qy", q, "q_y"))
    }
    middle = {side: {y: (outputs[f"p{side}"][y] + outputs[f"q{side}"][y]) / 2 for y in outputs["pt"]} for side in ("t", "y")}
    kl = plain_worlds.kl
    g = np.array([
        kl(dict(enumerate(theta)), middle["t"]) - kl(dict(enumerate(golden)), middle["y"])
        for theta, golden in zip(arrays["theta"].reshape(-1, 4), arrays["q_y"].reshape(-1, 4), strict=True)
    ]).reshape(p.shape)  # fmt: skip
    output = kl(outputs["qt"], middle["t"]) - kl(outputs["pt"], middle["t"])
    output += kl(outputs["py"], middle["y"]) - kl(outputs["qy"], middle["y"])
    concept_term = sum(
        p[x] * (kl(dict(enumerate(arrays["q_y"][x])), middle["y"]) - kl(dict(enumerate(arrays["p_y"][x])), middle["y"]))
        for x in np.ndindex(p.shape)
    )
    variance = (m * (g - (m * g).sum()) ** 2).sum()
    assert found["information_variance"] == pytest.approx(math.sqrt(8 * variance * js_x) + output + concept_term, abs=1e-10)
    tv = np.ptp(g) * tv_x + (2 - 2 * math.log(2)) * tv_xy + concept_term
    assert found["information_tv"] == pytest.approx(tv, abs=1e-10)
    input_only = math.sqrt(8 * variance * js_x) + (2 - 2 * math.log(2)) / math.log(2) * js_xy + concept_term
    assert found["input_only"] == pytest.approx(input_only, abs=1e-10)
    order = np.argsort(g.ravel())
    median = g.ravel()[order][np.argmax(np.cumsum(m.ravel()[order]) >= 0.5)]
    assert found["unknown_shift"] == pytest.approx(2 * (m * np.abs(g - median)).sum() + output + concept_term, abs=1e-10)

    h_theta, h_golden, h_golden_p = entropies(arrays)
    laws = {name: np.array(list(law.values())) for name, law in outputs.items()}

    def of_pair(a, b):
        return phi(np.abs(laws[a] - laws[b]).sum() / 2, 4)

    pairs = min(of_pair("pt", "py") + of_pair("qt", "qy"), of_pair("pt", "qt") + of_pair("py", "qy"))
    entropy = np.ptp(h_theta - h_golden) * tv_x + pairs + (p * (h_golden_p - h_golden)).sum()
    assert found["entropy"] == pytest.approx(entropy, abs=1e-10)

    roots = sum(math.sqrt(plain_worlds.js(*(plain_worlds.factor_law(law, (axis,)) for law in (p, q)))) for axis in range(3))
    delta = plain_worlds.js(outputs["pt"], outputs["py"]) + plain_worlds.js(outputs["qt"], outputs["qy"])
    published = math.sqrt(2 / 3) * (h_theta + h_golden).max() * roots + 8 * delta**0.25
    assert found["published"] == pytest.approx(published, abs=1e-10)
    assert found["published_scaled"] == pytest.approx(math.sqrt(2 / 3) * roots + delta**0.25, abs=1e-10)


def test_terms_sum_to_the_value_and_attribution_comes_along():
    found, _ = bounds_of(plain_worlds.random_world(np.random.default_rng(0), concept=True))
    for name in BOUNDS:
        terms = {term: value for key, value in found.items() if key.startswith(f"{name}/") for term in [key.split("/")[1]]}
        summed = sum(terms.get(term, 0) for term in ("shift", "known", "output", "concept", "penalty"))
        assert summed == pytest.approx(found[name], abs=1e-12), name
    factors = sum(found[f"layered/{factor}"] for factor in ("user", "character", "dialogue"))
    assert factors == pytest.approx(found["layered/shift"], abs=1e-12)
    assert found["attribution/bound"].shape == (6, 3)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_certified_bound_fails_on_random_worlds(name):
    with jax.enable_x64(True):
        found = in_blocks(every_bound, SCENARIOS[name].sample(2512, 600), Devices(), 200)
    rows = tightness(found)
    for bound in CERTIFIED:
        assert rows[bound]["violations"] == 0, bound
        assert rows[bound]["highest"] <= 1 + 1e-9
    assert 150 < rows["information"]["worlds"] < 450
    assert np.all(found["information_references"] <= found["information"] + 1e-12)
    assert np.all(found["information"] <= found["information_variance"] + 1e-9)
    assert np.all(found["information"] <= found["unknown_shift"] + 1e-12)
    assert np.all(found["information_variance"] <= found["input_only"] + 1e-12)


def test_violations_are_counted_and_ratios_are_ratios():
    emid = np.array([1.0, 1.0, 0.0005, -1.0, 2.0])
    bound = np.array([2.0, 1.0 - 1e-8, 0.0, 5.0, np.nan])
    np.testing.assert_array_equal(violated(emid, bound), [False, True, True, False, True])
    found = {"emid": emid[:4], **{name: np.array([2.0, 1.25, 1.0, 5.0]) for name in BOUNDS}}
    row = tightness(found)["information"]
    assert (row["worlds"], row["violations"]) == (2, 0)
    assert row["median"] == pytest.approx((0.5 + 0.8) / 2)
    assert row["highest"] == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_references_are_the_lagrange_dual_of_what_is_known(seed):
    """The bound equals the largest 2 E_M[g s] over all s with these output laws and at most this divergence (by SLSQP)."""
    rng = np.random.default_rng(seed)
    found, of = bounds_of(plain_worlds.random_world(rng))
    m, g = of.m.ravel(), of.g.ravel()
    kernels = np.concatenate([of.theta.reshape(12, -1), of.golden.reshape(12, -1)], axis=1)
    known = kernels.T @ (of.p - of.q).ravel()

    def psi(s):
        return (
            sum(np.where(1 + sign * s > 0, (1 + sign * s) * np.log(np.maximum(1 + sign * s, 1e-300)), 0) for sign in (1, -1))
            / 2
        )

    constraints = [
        {"type": "eq", "fun": lambda s: m @ s},
        {"type": "eq", "fun": lambda s: (2 * (kernels * m[:, None]).T @ s - known)[[0, 1, 2, 4, 5, 6]]},
        {"type": "ineq", "fun": lambda s: of.js_x - m @ psi(s)},
    ]
    best = -np.inf
    for start in (of.s.ravel(), np.zeros(12), rng.uniform(-0.5, 0.5, 12)):
        search = minimize(
            lambda s: -2 * (m * g) @ s, start, jac=lambda s: -2 * m * g, bounds=[(-1, 1)] * 12, constraints=constraints,
            method="SLSQP", options={"maxiter": 2000, "ftol": 1e-13},
        )  # fmt: skip
        if search.success:
            best = max(best, -search.fun)
    assert best > -np.inf
    assert found["information_references"] - found["information_references/output"] == pytest.approx(best, rel=1e-3, abs=1e-4)


def test_references_of_any_two_distributions_give_no_tighter_bound():
    """The bounds with references (1-a)Q + aP of docs/theory.md, T1, on a grid of (a, b), are not below the best ones."""
    shift_of = jax.jit(log_cosh_bound)
    rng = np.random.default_rng(11)
    for _ in range(10):
        found, of = bounds_of(plain_worlds.random_world(rng))

        def kl(a, b):
            return np.sum(a * np.log(a / b), axis=-1)

        for a in (0.0, 0.25, 0.5, 1.0):
            for b in (0.0, 0.25, 0.5, 1.0):
                nu_t = (1 - a) * of.outputs.q_theta + a * of.outputs.p_theta
                nu_s = (1 - b) * of.outputs.p_golden + b * of.outputs.q_golden
                g = kl(of.theta, nu_t) - kl(of.golden, nu_s)
                output = kl(of.outputs.q_theta, nu_t) - kl(of.outputs.p_theta, nu_t)
                output += kl(of.outputs.p_golden, nu_s) - kl(of.outputs.q_golden, nu_s)
                assert ((of.p - of.q) * g).sum() + output == pytest.approx(of.emid, abs=1e-10)
                with jax.enable_x64(True):
                    shift = float(shift_of(g.ravel(), of.m.ravel(), of.js_x).value)
                assert found["information_references"] <= shift + output + 1e-6


def test_where_the_output_laws_determine_the_shift_the_best_references_are_exact():
    rng = np.random.default_rng(0)
    for _ in range(5):
        few = plain_worlds.random_world(rng, (2, 2, 1, 4))
        room = {"p_x": 0, "q_x": 0, "p_y": 0.25, "q_y": 0.25, "theta": 0.25}  # contexts that never occur, to the usual shape
        padding = [(0, 0), (0, 1), (0, 1)]
        found, of = bounds_of({
            name: np.pad(few[name], padding + [(0, 0)] * (few[name].ndim - 3), constant_values=fill)
            for name, fill in room.items()
        })  # fmt: skip
        assert found["information_references"] == pytest.approx(of.emid, abs=1e-4)
        assert found["information_references"] >= of.emid - 1e-12


@pytest.mark.parametrize("apart", [0.0, 1e-14, 1e-10, 1e-7, 1e-4])
def test_bounds_hold_where_p_and_q_differ_by_rounding_and_only_replies_shift(apart):
    """Radii near 0 make the multipliers of the duals huge: nothing may cancel there, and nothing may be no number."""
    rng = np.random.default_rng(5)
    p = np.zeros((200, 4, 4, 4))  # the shape of the scenarios' worlds and blocks; in most worlds 8 contexts occur
    p[:150, :2, :2, :2] = rng.dirichlet(np.full(8, 0.3), 150).reshape(-1, 2, 2, 2)
    p[150:] = rng.dirichlet(np.full(64, 0.3), 50).reshape(-1, 4, 4, 4)
    q = p * (1 + apart * rng.normal(size=p.shape))
    kernels = {name: np.zeros((*p.shape, 12)) for name in ("p_y", "q_y", "theta")}
    for kernel in kernels.values():
        kernel[..., :3] = rng.dirichlet(np.full(3, 0.3), p.shape)
    with jax.enable_x64(True):
        worlds = from_arrays({"p_x": p, "q_x": q / q.sum((1, 2, 3), keepdims=True)} | kernels)
        found = in_blocks(every_bound, worlds, Devices(), 200)
    for name in CERTIFIED:
        assert not violated(found["emid"], found[name]).any(), name
