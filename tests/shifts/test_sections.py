"""The section of shifts: what stands in it, correlations over categories, reasons where something is missing."""

import json

import numpy as np
import pytest
from scipy import stats
from score_arrays import score_arrays, with_shifts, without

from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices
from remid_jax.shifts import sections

CATEGORIES = {"IDTest": 6, "german": 6, "Film & Television": 6, "WordLevelComposition": 6}


def shifts_of(arrays):
    return estimates(parse(arrays), Settings(bootstrap=0), Devices())["bounds"]


@pytest.fixture(scope="module")
def arrays():
    return with_shifts(score_arrays(CATEGORIES, samples=4))


@pytest.fixture(scope="module")
def found(arrays):
    return shifts_of(arrays)


def test_bounds_are_the_measured_output_and_a_shift_and_lie_above_the_measured_loss(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["contexts"] == 6
    assert list(found["categories"]) == [name for name in CATEGORIES if name != "IDTest"]
    for category in found["categories"].values():
        for scorer in ("reasoned", "plain"):
            bounds = category["bounds"][scorer]
            value = {name: bounds[name]["value"] for name in ("emid", "shift")}
            assert value["emid"] == pytest.approx(value["shift"] + bounds["output"]["sum"]["value"], abs=1e-9)
            unknown = bounds["unknown_shift"]
            assert unknown["bound"]["value"] == pytest.approx(unknown["shift"]["value"] + bounds["output"]["sum"]["value"])
            assert unknown["bound"]["value"] >= value["emid"] - 1e-9
            plug_in = bounds["plug_in"]
            parts = min(plug_in["by_law_of_g"]["value"], plug_in["by_variance"]["value"])
            assert plug_in["shift"]["value"] == pytest.approx(parts)
            assert plug_in["bound"]["interval"]["validated"] is False


def test_correlations_are_those_of_scipy_over_the_categories(found):
    for scorer in ("reasoned", "plain"):
        rows = [category["bounds"][scorer] for category in found["categories"].values()]
        emid = [row["emid"]["value"] for row in rows]
        for bound in ("plug_in", "unknown_shift"):
            values = [row[bound]["bound"]["value"] for row in rows]
            told = found["correlation"][scorer][bound]
            assert told["categories"] == 3
            assert told["pearson"]["value"] == pytest.approx(stats.pearsonr(values, emid).statistic, abs=1e-9)
            assert told["spearman"]["value"] == pytest.approx(stats.spearmanr(values, emid).statistic, abs=1e-9)


def test_rank_correlations_share_ranks_where_values_are_equal_and_do_not_exist_beside_what_does_not():
    x = np.array([[1.0, 3.0, np.nan], [1.0, 1.0, 2.0], [0.0, 3.0, 1.0], [5.0, 3.0, 0.0]])
    y = np.array([[2.0, 0.0, 1.0], [4.0, 1.0, 2.0], [4.0, 2.0, 3.0], [4.0, 2.0, 4.0]])
    found = sections._correlation((*x, *y), rank=True)
    expected = [stats.spearmanr(x[:, column], y[:, column]).statistic for column in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (["/embedding/"], "the texts of the contexts were not embedded"),
        (["/of_id/", "/in_id/"], "its replies were not scored in the contexts of IDTest, nor the reverse"),
        (["/self/", "/of_id/", "/in_id/"], "IDTest: no samples scored under the policy's own kernel"),
    ],
)
def test_what_is_missing_has_its_reason(arrays, left_out, reason):
    found = shifts_of(without(arrays, *left_out))
    german = found["categories"]["german"]
    if left_out == ["/embedding/"]:
        assert german["divergence"] == {"reason": reason}
        assert reason.split(",")[0] in german["bounds"]["plain"]["plug_in"]["reason"]
        assert german["bounds"]["plain"]["unknown_shift"]["bound"]["value"] is not None
    else:
        assert german["bounds"] == {"reason": reason}
        assert found["correlation"]["plain"]["plug_in"] == {"reason": "0 categories have both, and a correlation needs 3"}
    if "/self/" in left_out:
        assert found["risk"]["reason"].startswith("IDTest: ")


def test_at_most_64_contexts_a_category_are_compared(monkeypatch):
    """Shown with 8 in the place of 64: what is computed grows with the cube."""
    assert sections.MOST_CONTEXTS == 64
    monkeypatch.setattr(sections, "MOST_CONTEXTS", 8)
    arrays = score_arrays({"IDTest": 10, "german": 10}, samples=1)
    found = shifts_of(without(with_shifts(arrays), "/self/loglik", "/of_id/", "/in_id/", "reasoned", "golden_half", "constant"))
    assert found["contexts"] == 8
    assert found["categories"]["german"]["divergence"]["of"]["user"]["excess"]["n"] == 8


def test_a_table_without_id_has_no_such_section():
    assert shifts_of(score_arrays({"german": 4})) == {}
