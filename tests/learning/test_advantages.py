"""Group advantages by hand, and properties that hold for any rewards."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from remid_jax.learning.advantages import group_advantages


def test_by_hand():
    found = group_advantages([[1.0, 2.0, 3.0], [0.5, 0.5, 0.5], [np.nan, 1.0, 2.0], [np.nan, np.nan, 4.0]])
    half = 0.5 / (np.sqrt(0.5) + 1e-4)
    np.testing.assert_allclose(found.values, [[-1 / 1.0001, 0, 1 / 1.0001], [0, 0, 0], [0, -half, half], [0, 0, 0]])
    assert found.counted.tolist() == [[True] * 3, [True] * 3, [False, True, True], [False, False, True]]
    assert found.flat.tolist() == [False, True, False, True]


def test_the_deviation_is_torchs():
    rewards = np.random.default_rng(0).normal(size=(7, 8))
    of = torch.tensor(rewards)
    expected = (of - of.mean(1, keepdim=True)) / (of.std(1, keepdim=True) + 1e-4)
    np.testing.assert_allclose(group_advantages(rewards).values, expected, rtol=1e-12)


def test_a_group_that_differs_by_rounding_alone_teaches_nothing():
    rewards = 0.3 + np.array([[0, 1e-8, -1e-8, 0]])
    assert group_advantages(rewards).flat.all()
    assert not group_advantages(rewards).values.any()
    assert not group_advantages(rewards, least_std=1e-9).flat.any()


@given(arrays(float, (3, 5), elements=st.floats(-10, 10) | st.just(np.nan)))
def test_they_sum_to_zero_and_shifts_of_the_reward_change_nothing(rewards):
    found, moved = (group_advantages(r, least_std=1e-3).values for r in (rewards, rewards + 7))
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-9)
    np.testing.assert_allclose(found, moved, atol=1e-7)
