"""Policies of known quality, enumerable models, Gaussian mixtures: studies against sums by hand and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_worlds
import pytest
from scipy import integrate, stats

from remid_jax.information.mutual_information import mixture
from remid_jax.parallel import Devices
from remid_jax.scoring.store import Store
from remid_jax.synthetic import enumerable
from remid_jax.validation import divergence_study, policy_study


def test_cross_and_self_emi_are_sums_by_hand():
    found = policy_study.study()
    assert list(found) == list(policy_study.MEANINGS)
    golden = policy_study.known.w8_replies().p_y[:, 0, 0]
    kernels = policy_study.policies(np.asarray(golden))
    size = len(golden)
    uniform = np.full(size, 1 / size)

    def information(kernel):
        return plain_worlds.information({
            (x, y): uniform[x] * kernel[x, y] for x in range(size) for y in range(kernel.shape[1])
        })  # fmt: skip

    def club(kernel):
        logs = np.log(np.asarray(golden))
        return sum(
            kernel[x, y] / size * (logs[x, y] - sum(logs[z, y] for z in range(size)) / size)
            for x in range(size)
            for y in range(kernel.shape[1])
        )

    for name, kernel in kernels.items():
        assert found[name]["self"] == pytest.approx(information(kernel) - information(kernels["right"]), abs=1e-12)
        assert found[name]["cross_club"] == pytest.approx(club(kernel) - club(kernels["right"]), abs=1e-12)
    assert found["right"] == {"cross_club": 0, "cross_mixture": 0, "self": 0}
    assert found["relabelled"]["self"] == pytest.approx(0, abs=1e-12)  # all information kept, and wrong everywhere
    assert found["relabelled"]["cross_club"] < -1
    assert found["constant"]["self"] == pytest.approx(-information(kernels["right"]))
    assert found["sharpened"]["self"] > 0 > found["flattened"]["self"]


def test_cross_mixture_is_the_limit_of_the_estimator():
    golden = np.asarray(policy_study.known.w8_replies().p_y)[:, 0, 0]
    rng, n, values = np.random.default_rng(0), 1024, []
    with jax.enable_x64(True):
        for _ in range(4):
            x = np.arange(n) % len(golden)
            y = np.array([rng.choice(golden.shape[1], p=golden[context]) for context in x])
            values.append(float(mixture(jnp.asarray(np.log(golden)[x[:, None], y[None]]), jnp.ones(n))))
    assert np.mean(values) == pytest.approx(policy_study.cross_mixture(golden, golden), abs=0.05)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return enumerable.enumerated(Devices(), Store(tmp_path_factory.mktemp("store") / "store"), lambda done, total: None)


def test_models_make_an_exact_world(models):
    found = enumerable.study(models)
    assert found["sums"] < 1e-5  # every reply is written out: float32 log-likelihoods sum to probability 1
    world = {name: np.asarray(getattr(models.world, name)) for name in ("p_x", "q_x", "p_y", "theta")}
    emi = {}
    for law in ("p_x", "q_x"):
        golden, policy = (plain_worlds.joint(world[law], world[kernel]) for kernel in ("p_y", "theta"))
        emi[law] = plain_worlds.information(policy) - plain_worlds.information(golden)
    assert found["emid"] == pytest.approx(emi["p_x"] - emi["q_x"], abs=1e-9)
    for bound, value in found["bounds"].items():
        if bound != "published":
            assert value >= found["emid"] - 1e-9, bound
    # only the users shift: contexts given the user are alike
    for u in range(3):
        np.testing.assert_allclose(world["p_x"][u] / world["p_x"][u].sum(), world["q_x"][u] / world["q_x"][u].sum())


def test_terms_under_an_estimator_are_sums_over_pairs(models):
    terms = enumerable.study(models)["estimators"]["wrong"]
    law, logs = np.asarray(models.world.q_x).ravel(), models.logs["wrong"]
    kernel = np.exp(models.logs["policy"])
    by_hand = sum(law[x] * law[z] * (kernel[x] @ (logs[x] - logs[z])) for x in range(len(law)) for z in range(len(law)))
    assert terms["policy_shifted"] == pytest.approx(by_hand, abs=1e-6)
    assert terms["emi_id"] == pytest.approx(terms["policy_id"] - terms["golden_id"])


def test_the_estimator_from_samples_is_unbiased(models):
    for estimator in ("golden", "wrong"):
        found = enumerable.sampled_club(models, estimator, 32, 300, 0)
        assert found["mean"] == pytest.approx(found["target"], abs=4 * found["rmse"] / np.sqrt(300))


@pytest.mark.parametrize("mean", [0.7, 2.5])
def test_divergence_of_the_mixtures_is_that_of_adaptive_quadrature(mean):
    def density(x, centre):
        return (stats.norm.pdf(x, centre - 1) + stats.norm.pdf(x, centre + 1)) / 2

    def integrand(x):
        p, q = density(x, 0), density(x, mean)
        return (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2

    expected = integrate.quad(integrand, -12, 15, limit=200)[0]
    assert divergence_study.divergence_of(mean) == pytest.approx(expected, abs=1e-7)


def test_limits_of_mixtures_far_apart_lie_between_nothing_and_the_truth():
    mean = 3.0
    found = divergence_study.draw_limits(mean, 32, 12, 0)
    truth = divergence_study.divergence_of(mean)
    assert np.mean(found["representation"] <= truth) >= 11 / 12
    assert np.mean(found["classifier"] <= truth) >= 11 / 12
    assert np.all(found["p_value"] <= 0.05)
    assert np.all(found["excess"] > 0)
