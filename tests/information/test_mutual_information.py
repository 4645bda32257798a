"""Each estimator against loops written without JAX, and its expectation against sums over small channels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import binom

from remid_jax.information import mutual_information as mi


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def by_loops(loglik, marginal, pairs, multiplicities):
    """All estimators with every item literally repeated; two copies of one item are never a mismatched pair."""
    items = [i for i, count in enumerate(multiplicities) for _ in range(count)]
    matched = [loglik[i, i] for i in items]
    mismatched = [(pairs[i, j], loglik[i, j]) for i in items for j in items if i != j]
    mixture, leave_one_out = [], []
    for i in items:
        others = [loglik[j, i] for j in items if j != i]
        mixture.append(loglik[i, i] - logsumexp([loglik[i, i], *others]) + np.log(1 + len(others)))
        leave_one_out.append(loglik[i, i] - logsumexp(others) + np.log(len(others)))
    return {
        "club": np.mean(matched) - sum(p * s for p, s in mismatched) / sum(p for p, _ in mismatched),
        "mixture": np.mean(mixture),
        "leave_one_out": np.mean(leave_one_out),
        "prompt_marginal": np.mean([loglik[i, i] - marginal[i] for i in items]),
    }


@jax.jit
def by_weights(loglik, marginal, pairs, weights):
    return {
        "club": mi.club(loglik, weights, pairs),
        "mixture": mi.mixture(loglik, weights),
        "leave_one_out": mi.leave_one_out(loglik, weights),
        "prompt_marginal": mi.prompt_marginal(loglik, marginal, weights),
    }


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), min_size=5, max_size=5), st.booleans())
def test_a_weight_is_a_number_of_copies_and_copies_are_never_mismatched(seed, multiplicities, sampled):
    rng = np.random.default_rng(seed)
    multiplicities[seed % 5] += 1
    multiplicities[(seed + 1) % 5] += 1
    loglik, marginal = rng.normal(-40, 8, (5, 5)), rng.normal(-45, 8, 5)
    pairs = (1 - np.eye(5)) * (rng.integers(1, 4, (5, 5)) if sampled else 1)
    expected = by_loops(loglik, marginal, pairs, multiplicities)
    got = by_weights(*map(jnp.asarray, (loglik, marginal, pairs, np.array(multiplicities, float))))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-11, atol=1e-11, err_msg=name)


def test_one_vmap_over_weights_gives_what_single_calls_give():
    rng = np.random.default_rng(0)
    loglik, pairs = jnp.asarray(rng.normal(-40, 8, (5, 5))), jnp.asarray(1 - np.eye(5))
    weights = jnp.asarray(1 - np.eye(5))
    together = jax.vmap(by_weights, in_axes=(None, None, None, 0))(loglik, loglik[0], pairs, weights)
    for row in range(5):
        without = np.delete(np.arange(5), row)
        smaller = by_loops(np.asarray(loglik), np.asarray(loglik[0]), np.asarray(pairs), [int(i in without) for i in range(5)])
        for name, value in smaller.items():
            np.testing.assert_allclose(together[name][row], value, rtol=1e-11, err_msg=name)


def test_token_rate_divides_each_reply_by_its_own_tokens_and_averages():
    rng = np.random.default_rng(1)
    loglik, tokens = rng.normal(-40, 8, (4, 4)), np.array([3.0, 10.0, 25.0, 7.0])
    expected = np.mean([loglik[i, i] / tokens[i] for i in range(4)])
    expected -= np.mean([loglik[i, j] / tokens[j] for i in range(4) for j in range(4) if i != j])
    got = mi.club(jnp.asarray(loglik / tokens), jnp.ones(4), jnp.asarray(mi.mismatched_pairs(4, 1, 0)))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "sampled", "rounds"), [(2, 1, 1), (63, 1, 62), (64, 100, 2), (100, 1000, 10), (70, 10**6, 69)])
def test_pairs_are_all_below_64_contexts_and_balanced_rounds_from_there_on(n, sampled, rounds):
    pairs = mi.mismatched_pairs(n, sampled, seed=3)
    assert np.all(np.diagonal(pairs) == 0)
    assert np.all(pairs.sum(axis=0) == rounds)
    assert np.all(pairs.sum(axis=1) == rounds)
    np.testing.assert_array_equal(pairs, mi.mismatched_pairs(n, sampled, seed=3))
    assert n < 64 or rounds == n - 1 or not np.array_equal(pairs, mi.mismatched_pairs(n, sampled, seed=4))


def channel(seed=0, contexts=4, replies=3):
    """p(y|x) and another kernel q(y|x), contexts uniform: mutual information and divergences by exact sums."""
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(replies, 0.7), contexts), rng.dirichlet(np.full(replies, 1.5), contexts)
    p_y = p.mean(axis=0)
    information = np.mean(np.sum(p * np.log(p / p_y), axis=1))
    return p, q, p_y, information


def expectations(p, q, q_0):
    """E of every estimator over all ways to draw one reply per context, y_i ~ p(.|x_i), scored by q."""
    n, k = p.shape
    replies = np.array(list(itertools.product(range(k), repeat=n)))
    chances = np.prod(p[np.arange(n), replies], axis=1)
    loglik = np.log(q)[:, replies].transpose(1, 0, 2)  # [draws, context, reply]
    pairs = jnp.asarray(mi.mismatched_pairs(n, 1, 0))
    values = jax.vmap(by_weights, in_axes=(0, 0, None, None))(
        jnp.asarray(loglik), jnp.asarray(np.log(q_0)[replies]), pairs, jnp.ones(n)
    )
    return {name: chances @ np.asarray(value) for name, value in values.items()}


def test_under_the_right_kernel_each_estimator_meets_its_own_population_value():
    p, q, p_y, information = channel()
    q_0 = q.mean(axis=0)
    got = expectations(p, p, q_0)
    n = len(p)
    np.testing.assert_allclose(got["mixture"], information, rtol=1e-12)
    reverse = np.mean(np.sum(p_y * np.log(p_y / p), axis=1))  # KL(p_x p_y || p_xy)
    # the population mean over p_x p_y also holds the pairs i = j; over i != j it is n/(n-1) times as far from the diagonal
    np.testing.assert_allclose(got["club"], n / (n - 1) * (information + reverse), rtol=1e-12)
    np.testing.assert_allclose(got["prompt_marginal"], information + np.sum(p_y * np.log(p_y / q_0)), rtol=1e-12)
    assert got["leave_one_out"] > information  # an upper bound under the true kernel
    assert got["club"] > information


def test_under_a_wrong_kernel_each_estimator_meets_its_own_population_value():
    p, q, p_y, information = channel(seed=2)
    q_0 = np.array([0.2, 0.5, 0.3])
    got = expectations(p, q, q_0)
    n, wrong = len(p), np.mean(np.sum(p * np.log(p / q), axis=1))  # E KL(p || q)
    np.testing.assert_allclose(got["mixture"], np.mean(np.sum(p * np.log(q / q.mean(axis=0)), axis=1)), rtol=1e-12)
    product = np.mean(np.sum(p_y * np.log(p_y / q), axis=1))  # KL(p_x p_y || p_x q)
    np.testing.assert_allclose(got["club"], n / (n - 1) * (information + product - wrong), rtol=1e-12)
    np.testing.assert_allclose(got["prompt_marginal"], information - wrong + np.sum(p_y * np.log(p_y / q_0)), rtol=1e-12)
    assert got["mixture"] < information  # a lower bound under any kernel


def population_club(joint, kernel):
    """`club` of a joint law: its atoms (x, y) as items, weighted by probability, all pairs."""
    x, y = map(np.ravel, np.indices(joint.shape))
    loglik = np.log(kernel)[x][:, y]
    return float(mi.club(jnp.asarray(loglik), jnp.asarray(joint.ravel()), jnp.ones((joint.size, joint.size))))


def test_world_w6_club_and_leave_one_out_lie_below_the_information():
    q = np.array([[0.7, 0.3], [0.3, 0.7]])
    assert population_club(np.eye(2) / 2, q) == pytest.approx(np.log(7 / 3) / 2, abs=1e-12)
    assert np.log(7 / 3) / 2 == pytest.approx(0.4236, abs=5e-5)
    assert float(mi.mixture(jnp.log(q), jnp.ones(2))) == pytest.approx(np.log(1.4), abs=1e-12)
    expected = 0.0
    for ones in range(17):  # x_i = y_i; the estimate depends on how many of the 16 contexts are 1
        x = np.arange(16) < ones
        loglik = np.log(np.where(x[:, None] == x, 0.7, 0.3))
        expected += binom.pmf(ones, 16, 0.5) * float(mi.leave_one_out(jnp.asarray(loglik), jnp.ones(16)))
    like = np.arange(16)  # of the 15 other contexts
    mean = (0.7 * like + 0.3 * (15 - like)) / 15
    assert expected == pytest.approx(np.sum(binom.pmf(like, 15, 0.5) * np.log(0.7 / mean)), rel=1e-12)
    assert expected == pytest.approx(0.3419, abs=5e-5)
    assert expected < np.log(2)


def test_world_w7_a_kernel_fitted_on_the_sample_reaches_log_n_without_any_information():
    in_sample = jnp.asarray(np.where(np.eye(16) == 1, 0.0, -1e4))  # q(y_i | x_i) = 1
    assert float(mi.mixture(in_sample, jnp.ones(16))) == pytest.approx(np.log(16), abs=1e-12)


def test_world_w8_relabelled_replies_keep_the_information_but_not_the_cross_estimate():
    golden = (0.9 * np.eye(8) + 0.1 / 8) / 8
    policy = np.roll(golden, 1, axis=1)
    assert population_club(policy, golden * 8) - population_club(golden, golden * 8) == pytest.approx(-3.861, abs=5e-4)
    for joint in (golden, policy):
        assert np.sum(joint * np.log(joint * 64)) == pytest.approx(np.sum(golden * np.log(golden * 64)), abs=1e-12)


def test_constants_of_a_reply_change_nothing_and_constants_of_a_context_only_the_mixtures():
    rng = np.random.default_rng(5)
    n = 70
    loglik, marginal, pairs = rng.normal(-40, 5, (n, n)), rng.normal(-45, 5, n), mi.mismatched_pairs(n, 200, 0)
    of_reply, of_context = rng.normal(0, 20, n), rng.normal(0, 20, (n, 1))
    plain = by_weights(*map(jnp.asarray, (loglik, marginal, pairs, np.ones(n))))
    by_reply = by_weights(*map(jnp.asarray, (loglik + of_reply, marginal + of_reply, pairs, np.ones(n))))
    by_context = by_weights(*map(jnp.asarray, (loglik + of_context, marginal, pairs, np.ones(n))))
    for name, value in plain.items():
        np.testing.assert_allclose(by_reply[name], value, rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(by_context["club"], plain["club"], rtol=1e-10)
    assert abs(by_context["mixture"] - plain["mixture"]) > 1


def test_replies_thousands_of_nats_apart_stay_finite_and_exact():
    n = 6
    loglik = np.full((n, n), -9000.0) + np.eye(n) * 6000
    loglik[0, 1] = -1000.0  # one wrong context beats the golden one by 2,000 nats
    got = by_weights(*map(jnp.asarray, (loglik, loglik[0], 1 - np.eye(n), np.ones(n))))
    expected = by_loops(loglik, loglik[0], 1 - np.eye(n), np.ones(n, int))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, err_msg=name)


def test_without_a_mismatched_pair_there_is_no_number():
    alone = jnp.asarray([1.0, 0.0, 0.0])
    loglik, pairs = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3))), jnp.asarray(1 - np.eye(3))
    assert not np.isfinite(mi.club(loglik, alone, pairs))
    assert not np.isfinite(mi.leave_one_out(loglik, alone))
    assert not np.isfinite(mi.mixture(loglik, jnp.zeros(3)))
