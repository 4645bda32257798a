"""The policy's own information: exact on small kernels, null where the kernel or its samples are not available."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from remid_jax.information.self_information import self_information, unavailable


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
    got = self_information(jnp.asarray(loglik), jnp.asarray(finished), jnp.ones(5))
    np.testing.assert_allclose(got, [np.mean(lower), np.mean(upper)], rtol=1e-12)


def test_under_the_exact_kernel_the_mixture_over_all_contexts_is_the_information():
    kernel = np.random.default_rng(1).dirichlet(np.full(3, 0.6), 3)
    replies = np.array(list(itertools.product(range(3), repeat=3)))
    chances = np.prod(kernel[np.arange(3), replies], axis=1)
    loglik = np.log(kernel)[:, replies].transpose(1, 0, 2)[..., None]
    lower, upper = jax.vmap(self_information, in_axes=(0, None, None))(jnp.asarray(loglik), jnp.ones((3, 1)), jnp.ones(3))
    information = np.mean(np.sum(kernel * np.log(kernel / kernel.mean(axis=0)), axis=1))
    assert chances @ np.asarray(lower) == pytest.approx(information, rel=1e-12)
    assert chances @ np.asarray(upper) > information


def test_it_is_null_with_the_reason():
    truncated = np.zeros((10, 2), bool)
    truncated[0] = True
    assert unavailable(truncated) is None  # 10% is still allowed
    truncated[1, 0] = True
    assert unavailable(truncated) == "15% of the policy's samples are truncated, more than 10%"
    assert unavailable(None) == "no samples scored under the policy's own kernel"
