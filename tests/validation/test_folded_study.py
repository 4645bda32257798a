"""Intervals over folds hold the truth at least as often as they say, and are told apart from validated ones."""

import numpy as np
import pytest

from remid_jax.information.intervals import FOLD_FROM, Replicates, combine, interval, is_trusted
from remid_jax.validation import folded_study
from remid_jax.validation.copying_study import worlds
from remid_jax.validation.coverage_study import channels


@pytest.mark.parametrize("world", ["heavy", "copying"])
def test_intervals_over_two_folds_of_eight_are_wide_enough(world):
    drawn = channels()[world] if world == "heavy" else worlds()[world]
    assert min(folded_study.coverage(drawn, FOLD_FROM, 200, 3).values()) >= 0.93


def replicates(count, fewest, in_folds=0):
    return Replicates(np.linspace(0, 1, 1 + count), np.ones(count, bool), fewest, in_folds=in_folds)


@pytest.mark.parametrize(
    ("fewest", "in_folds", "estimator", "cautious", "validated"),
    [
        (8, 16, "club", True, False),  # two folds of eight
        (7, 16, "club", False, False),  # a fold of seven
        (8, 15, "club", False, False),
        (8, 16, "mixture", False, False),  # nothing is known of it
        (16, 32, "club", False, True),
        (8, 0, "club", False, False),  # eight in all
    ],
)
def test_which_intervals_over_folds_are_trusted(fewest, in_folds, estimator, cautious, validated):
    bounds = interval(replicates(16, fewest, in_folds), estimator, 0.95)
    assert (bounds.get("cautious", False), bounds["validated"]) == (cautious, validated)
    assert is_trusted(bounds) == (cautious or validated)


def test_a_difference_has_the_lineages_of_its_smaller_side():
    both = combine(np.subtract, replicates(16, 8, 16), replicates(16, 8, 20))
    assert (both.fewest, both.in_folds) == (8, 16)
    assert combine(np.subtract, replicates(16, 8, 16), replicates(16, 12)).in_folds == 12
