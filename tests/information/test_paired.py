"""Paired differences against a jackknife written out."""

import numpy as np
import pytest
from scipy import stats

from remid_jax.information.paired import mean_difference


def test_the_interval_deletes_a_lineage_in_all_categories_at_once():
    rng = np.random.default_rng(0)
    lineages = {"german": np.array(["x", "x", "y", "z"]), "korean": np.array(["y", "z", "w"])}
    a, b = ({name: rng.normal(size=len(of)) for name, of in lineages.items()} for _ in range(2))
    found = mean_difference(a, b, lineages, level=0.9)

    def estimate(left_out=None):
        return np.mean([np.mean((a[name] - b[name])[of != left_out]) for name, of in lineages.items()])

    deleted = np.array([estimate(name) for name in "wxyz"])
    half = stats.t.ppf(0.95, 3) * np.sqrt(3 / 4 * np.sum((deleted - deleted.mean()) ** 2))
    assert found["value"] == pytest.approx(estimate())
    assert (found["interval"]["low"], found["interval"]["high"]) == pytest.approx((estimate() - half, estimate() + half))
    assert (found["n"], found["interval"]["clusters"], found["interval"]["validated"]) == (7, 4, False)


def test_a_constant_difference_has_no_width():
    lineages = {"german": np.array(["x", "y", "z"])}
    found = mean_difference({"german": np.arange(3.0) + 0.5}, {"german": np.arange(3.0)}, lineages)
    assert found["value"] == pytest.approx(0.5)
    assert found["interval"]["low"] == found["interval"]["high"] == pytest.approx(0.5)
