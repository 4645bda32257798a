"""A judge's agreement with itself, against counts by hand."""

import numpy as np
import pytest
from scipy import stats

from remid_jax.information.self_agreement import self_agreement

LINEAGE = np.repeat(np.array(["a", "b", "c", "d"]), 2)
RATINGS = np.array([[3, 4], [2, 1], [5, 5], [5, 6], [1, 2], [4, 3], [2, 2], [2, 2]], float)[:, None]
PAIRS = np.arange(8).reshape(4, 2)


def test_every_share_is_a_count():
    # of the first reply, shown first and shown last: pair 1 prefers what is shown first
    chances = np.array([[0.9, 0.6], [0.9, 0.1], [0.3, 0.2], [0.7, 0.6]])[:, None]
    found = self_agreement(["fit"], RATINGS, chances, PAIRS, LINEAGE, 0.95, 0)["fit"]
    assert found["wordings"]["value"] == pytest.approx(stats.spearmanr(*RATINGS[:, 0].T).statistic, abs=1e-12)
    bias = [0.15, 0.4, 0.05, 0.05]
    assert found["position_bias"]["value"] == pytest.approx(np.mean(bias), abs=1e-12)
    half = stats.t.ppf(0.975, 3) * np.std(bias, ddof=1) / 2
    assert found["position_bias"]["interval"]["high"] == pytest.approx(np.mean(bias) + half, abs=1e-9)
    assert found["orders_agree"]["value"] == (1 + 0 + 1 + 1) / 4
    # means of ratings 3.5 > 1.5, 5 < 5.5, 1.5 < 3.5, 2 = 2; means of preferences .75, .5 (a tie), .25, .65
    assert found["ratings_agree"]["value"] == (1 + 0.5 + 1 + 0.5) / 4
    assert found["position_bias"]["unit"] == "points"


def test_without_comparisons_there_are_ratings_alone():
    nothing = np.zeros((0, 1, 2)), np.zeros((0, 2), int)
    assert list(self_agreement(["fit"], RATINGS, *nothing, LINEAGE, 0.95, 0)["fit"]) == ["wordings"]
