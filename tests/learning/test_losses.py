"""Losses against values worked out by hand, finite differences, and exact expectations on a six-token policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from remid_jax.errors import UserError
from remid_jax.learning.losses import aggregate, dpo, grpo, sft, watched
from remid_jax.learning.settings import PolicyLoss

MASK = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], float)
LOSSES = np.array([[1.0, 2.0, 6.0], [5.0, 100.0, 100.0], [100.0] * 3])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("grpo", (3 + 5, 2)), ("dr_grpo", (14, 2 * 7)), ("dapo", (14, 4)), ("bnpo", (14 / 4, 1))],
)
def test_aggregations_by_hand(aggregation, expected):
    total, count = aggregate(aggregation, jnp.array(LOSSES), jnp.array(MASK), 7)
    np.testing.assert_allclose((total, count), expected, rtol=1e-6)


def test_sft_by_hand():
    total, count = sft(jnp.log(jnp.array([[0.5, 0.25], [0.1, 0.9]])), jnp.array([[1.0, 1], [1, 0]]))
    np.testing.assert_allclose((total, count), (np.log(2) + np.log(4) + np.log(10), 3), rtol=1e-6)


def test_dpo_against_torch():
    rng = np.random.default_rng(0)
    chosen, rejected, ref_chosen, ref_rejected = rng.normal(-50, 10, (4, 5))
    total, count = dpo(0.3, *map(jnp.array, (chosen, rejected, ref_chosen, ref_rejected)), jnp.ones(5))
    margin = torch.tensor(0.3 * ((chosen - ref_chosen) - (rejected - ref_rejected)))
    np.testing.assert_allclose(total, -torch.nn.functional.logsigmoid(margin).sum(), rtol=1e-5)
    assert count == 5


def by_hand(settings, logprobs, sampled, reference, entropies, advantages, mask):
    """The loss of `grpo` in plain loops."""
    sums, counts, everything = [], [], []
    for c, row in enumerate(mask):
        own = [n for n in range(len(row)) if row[n]]
        terms = []
        for n in own:
            gap = logprobs[c][n] - sampled[c][n]
            mean_gap = sum(logprobs[c][m] - sampled[c][m] for m in own) / len(own)
            w = np.exp(mean_gap if settings.level == "sequence" else gap)
            clipped = min(max(w, 1 - settings.clip_low), 1 + settings.clip_high)
            loss = -min(w * advantages[c], clipped * advantages[c])
            d = logprobs[c][n] - reference[c][n]
            if settings.penalty == "k2":
                loss += settings.penalty_weight * d * d / 2
            if settings.penalty == "k3_ratio":
                loss += settings.penalty_weight * np.exp(gap) * (np.exp(-d) - 1 + d)
            terms.append(loss - settings.entropy_weight * entropies[c][n])
        everything += terms
        if own:
            sums.append(sum(terms) / len(own))
            counts.append(1)
    if settings.aggregation == "grpo":
        return sum(sums) / sum(counts)
    return sum(everything) / (sum(counts) * settings.max_tokens if settings.aggregation == "dr_grpo" else len(everything))


@pytest.mark.parametrize("aggregation", ["grpo", "dr_grpo", "dapo", "bnpo"])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize(("penalty", "weight"), [("none", 0.0), ("k2", 0.3), ("k3_ratio", 0.3)])
def test_grpo_by_hand_and_its_gradient_by_differences(aggregation, level, penalty, weight):
    rng = np.random.default_rng(1)
    shape = (4, 5)
    sampled, reference, entropies = rng.normal(-2, 1, shape), rng.normal(-2, 1, shape), rng.uniform(0, 2, shape)
    logprobs = sampled + rng.normal(0, 0.4, shape)
    advantages = np.array([1.5, -1.0, 0.7, -0.4])
    mask = (np.arange(5) < np.array([[5], [3], [1], [0]])).astype(float)
    settings = PolicyLoss(aggregation, level, 0.2, 0.3, penalty, weight, 0.01, max_tokens=5)

    def loss(logprobs):
        total, count = grpo(settings, logprobs, *map(jnp.array, (sampled, reference, entropies, advantages, mask)))
        return total / count

    with jax.enable_x64(True):
        np.testing.assert_allclose(
            loss(jnp.array(logprobs)), by_hand(settings, logprobs, sampled, reference, entropies, advantages, mask), rtol=1e-10
        )
        gradient = np.asarray(jax.grad(loss)(jnp.array(logprobs)))
    for c, n in np.ndindex(*shape):
        step = np.zeros(shape)
        step[c, n] = 1e-6
        up, down = (
            by_hand(settings, logprobs + sign * step, sampled, reference, entropies, advantages, mask) for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[c, n], (up - down) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("penalty", ["k2", "k3_ratio"])
def test_the_expected_gradient_of_a_penalty_is_that_of_the_exact_kl(penalty):
    """Six tokens: the expectation over samples of the policy itself is a sum."""
    rng = np.random.default_rng(2)
    logits, reference = rng.normal(0, 1.5, (2, 6))
    settings = PolicyLoss(penalty=penalty, penalty_weight=1.0)

    def penalty_of_samples(logits):
        logp, logq = jax.nn.log_softmax(logits), jax.nn.log_softmax(jnp.array(reference))
        share = jax.nn.softmax(jax.lax.stop_gradient(logits))
        each = [
            grpo(
                settings, logp[None, t : t + 1], jax.lax.stop_gradient(logp)[None, t : t + 1], logq[None, t : t + 1],
                jnp.zeros((1, 1)), jnp.zeros(1), jnp.ones((1, 1)),
            )[0]
            for t in range(6)
        ]  # fmt: skip
        return share @ jnp.stack(each)

    def exact(logits):
        logp, logq = jax.nn.log_softmax(logits), jax.nn.log_softmax(jnp.array(reference))
        return (jnp.exp(logp) * (logp - logq)).sum()

    with jax.enable_x64(True):
        np.testing.assert_allclose(
            jax.grad(penalty_of_samples)(jnp.array(logits)), jax.grad(exact)(jnp.array(logits)), rtol=1e-9, atol=1e-12
        )


def test_watched_by_hand():
    settings = PolicyLoss(clip_low=0.2, clip_high=0.3)
    ratio = np.array([[0.5, 0.9], [1.5, 1.2], [0.5, 1.5]])
    logprobs = np.log([[0.4, 0.3], [0.5, 0.1], [0.7, 0.7]])
    sampled, reference = logprobs - np.log(ratio), np.log([[0.2, 0.3], [0.25, 0.2], [0.7, 0.7]])
    arrays = (logprobs, sampled, reference, np.full((3, 2), 0.5), [-1.0, 1.0, 1.0], [[1.0, 1], [1, 1], [1, 0]])
    found = watched(settings, *map(jnp.array, arrays))
    means = {name: float(total) / float(count) for name, (total, count) in found.items()}
    kl = [q / p - 1 - np.log(q / p) for p, q in ((0.4, 0.2), (0.3, 0.3), (0.5, 0.25), (0.1, 0.2), (0.7, 0.7))]
    expected = {
        "kl": np.mean(kl),
        "entropy": 0.5,
        "clipped_low": 1 / 5,
        "clipped_high": 1 / 5,
        "sampler_gap": np.abs(np.log([0.5, 0.9, 1.5, 1.2, 0.5])).mean(),
    }
    assert means == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aggregation": "mean"}, "aggregation='mean': choose one of grpo, dr_grpo, dapo, bnpo"),
        ({"level": "word"}, "level='word': choose one of token, sequence"),
        ({"penalty": "k1", "penalty_weight": 0.1}, "penalty='k1': choose one of none, k2, k3_ratio"),
        ({"penalty": "k2"}, "penalty='k2' with penalty_weight=0.0: give both or neither"),
        ({"clip_low": 1.5}, "clip_low=1.5, clip_high=0.2"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(PolicyLoss(), **changes)
