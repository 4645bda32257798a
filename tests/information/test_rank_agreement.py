"""Measures of agreement against scipy and loops, under any multiplicities."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from remid_jax.information import rank_agreement as module
from remid_jax.information.rank_agreement import rank_agreement


def drawn(seed, n):
    """Numbers and scores with ties, in few contexts and systems."""
    rng = np.random.default_rng(seed)
    numbers, scores = rng.integers(0, 6, n) / 2.0, rng.integers(1, 5, n).astype(float)
    return numbers, scores, rng.integers(0, 3, n), rng.integers(0, 4, n)


def by_loops(numbers, scores, context):
    """Pair accuracy of replies to one context."""
    right, pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(numbers)), 2):
        if context[i] == context[j] and scores[i] != scores[j]:
            pairs += 1
            same = np.sign(numbers[i] - numbers[j]) * np.sign(scores[i] - scores[j])
            right += 0.5 if same == 0 else same > 0
    return right / pairs if pairs else np.nan


def by_means(numbers, scores, system):
    """Spearman of the means of those systems that are there."""
    present = np.unique(system)
    means = [[of[system == one].mean() for one in present] for of in (numbers, scores)]
    rounded = np.round(means, 9)
    flat = any(len(np.unique(of)) < 2 for of in rounded)
    return np.nan if len(present) < 3 or flat else stats.spearmanr(*rounded).statistic


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 30))
def test_they_are_what_scipy_and_loops_find_of_the_replies_as_often_as_they_count(seed, n):
    numbers, scores, context, system = drawn(seed, n)
    weights = np.concatenate([np.ones((1, n)), np.random.default_rng(seed).integers(0, 3, (3, n)).astype(float)])
    found = rank_agreement(numbers, scores, context, system, weights)
    for place, row in enumerate(weights):
        chosen = np.repeat(np.arange(n), row.astype(int))
        x, y = numbers[chosen], scores[chosen]
        constant = len(np.unique(x)) < 2 or len(np.unique(y)) < 2
        expected = {
            "spearman": np.nan if constant else stats.spearmanr(x, y).statistic,
            "kendall": np.nan if constant else stats.kendalltau(x, y).statistic,
            "pairs": by_loops(x, y, context[chosen]),
            "systems": by_means(x, y, system[chosen]) if len(chosen) else np.nan,
        }
        for measure, value in expected.items():
            assert found[measure][place] == pytest.approx(value, abs=1e-9, nan_ok=True), measure


def test_columns_in_parts_give_the_same(monkeypatch):
    numbers, scores, context, system = drawn(3, 20)
    weights = np.ones((2, 20))
    whole = rank_agreement(numbers, scores, context, system, weights)
    monkeypatch.setattr(module, "AT_ONCE", 60)
    for measure, values in rank_agreement(numbers, scores, context, system, weights).items():
        np.testing.assert_array_equal(values, whole[measure])


def test_a_number_that_is_tied_by_rounding_is_tied():
    scores, everyone = np.array([1.0, 2.0, 3.0]), np.ones((1, 3))
    nobody = np.zeros(3, int)
    found = rank_agreement(np.array([0.1 + 0.2, 0.3, 0.3]), scores, nobody, nobody, everyone)
    assert np.isnan(found["spearman"][0])
    assert found["pairs"][0] == 0.5
