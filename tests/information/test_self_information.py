"""The policy's own information: exact on small kernels, null where the kernel or its samples are not available."""

import itertools

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from remid_jax.information.intervals import Resampling
from remid_jax.information.measurement import Block, Plan, measure_self
from remid_jax.information.score_table import Category, SelfScores
from remid_jax.information.self_information import unavailable
from remid_jax.parallel import Devices


def self_information(loglik, finished):
    """(mixture, leave_one_out) of loglik [n, n, S] over the finished [n, S] samples, and their replicates."""
    n = len(loglik)
    names = np.array([f"l{i}" for i in range(n)])
    scores = SelfScores(np.asarray(loglik), np.ones(finished.shape, int), finished == 0)
    plan = Plan(n, {"A": [Block(1.0, [np.arange(n)])]}, np.ones((n, n)), Resampling.of({"A": names}, 0, 0), {}, {}, Devices())
    measured = measure_self("A", Category(names, names, {}, scores), scores, plan)
    return measured["mixture"].values, measured["leave_one_out"].values


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_samples_are_averaged_and_truncated_ones_left_out():
    rng = np.random.default_rng(0)
    loglik, finished = rng.normal(-30, 4, (5, 5, 3)), np.ones((5, 3))
    finished[2, 1] = finished[4, 0] = 0
    lower, upper = [], []
    for j, s in zip(*np.nonzero(finished), strict=True):
        column = loglik[:, j, s]
        lower.append(column[j] - logsumexp(column) + np.log(5))
        upper.append(column[j] - logsumexp(np.delete(column, j)) + np.log(4))
    got = self_information(loglik, finished)
    np.testing.assert_allclose([values[0] for values in got], [np.mean(lower), np.mean(upper)], rtol=1e-12)
    for gone in range(5):
        kept = np.delete(np.arange(5), gone)
        smaller = self_information(loglik[np.ix_(kept, kept)], finished[kept])
        np.testing.assert_allclose([values[1 + gone] for values in got], [values[0] for values in smaller], rtol=1e-12)


def test_under_the_exact_kernel_the_mixture_over_all_contexts_is_the_information():
    kernel = np.random.default_rng(1).dirichlet(np.full(3, 0.6), 3)
    replies = np.array(list(itertools.product(range(3), repeat=3)))
    chances = np.prod(kernel[np.arange(3), replies], axis=1)
    loglik = np.log(kernel)[:, replies].transpose(1, 0, 2)[..., None]
    both = [[values[0] for values in self_information(of_draw, np.ones((3, 1)))] for of_draw in loglik]
    lower, upper = np.array(both).T
    information = np.mean(np.sum(kernel * np.log(kernel / kernel.mean(axis=0)), axis=1))
    assert chances @ lower == pytest.approx(information, rel=1e-12)
    assert chances @ upper > information


def test_it_is_null_with_the_reason():
    truncated = np.zeros((10, 2), bool)
    truncated[0] = True
    assert unavailable(truncated) is None  # 10% is still allowed
    truncated[1, 0] = True
    assert unavailable(truncated) == "15% of the policy's samples are truncated, more than 10%"
    assert unavailable(None) == "no samples scored under the policy's own kernel"
