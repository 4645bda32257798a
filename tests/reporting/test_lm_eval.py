"""The layout of lm-evaluation-harness: values and standard errors by task, metric and filter."""

import json

import pytest
from compared import comparison
from scipy import stats


def test_values_and_differences_stand_by_task_metric_and_run_with_their_errors():
    found = comparison().lm_eval()
    tasks = {"category": "{}", "shift": "{} shift", "overall": "{}"}
    for row in comparison().headline:
        task = found["results"][tasks[row.kind].format(row.name)]
        metric = f"r_{row.quantity}"
        assert task[f"{metric}_difference,{row.run}"] == row.value
        error = (row.high - row.low) / 2 / stats.t.ppf(0.975, row.clusters - 1)
        assert task[f"{metric}_difference_stderr,{row.run}"] == pytest.approx(error, rel=1e-9)
        assert task[f"{metric},{row.run}"] == pytest.approx(row.run_value, abs=1e-12)
        assert task[f"{metric},base"] == pytest.approx(row.baseline_value, abs=1e-12)
        assert task[f"{metric}_stderr,base"] > 0
        assert f"{metric}_difference,base" not in task


def test_shifts_are_groups_and_every_task_says_what_is_better():
    found = comparison().lm_eval()
    assert found["group_subtasks"] == {
        "user shift": ["german", "spanish"],
        "character shift": ["Gaming"],
        "all shifted categories": ["german", "spanish", "Gaming"],
    }
    assert found["groups"]["user shift"] == found["results"]["user shift"]
    assert found["higher_is_better"]["german"] == {
        "r_emid": False, "r_emid_difference": False, "r_emi": True, "r_emi_difference": True,
    }  # fmt: skip
    assert set(found["results"]) == set(found["versions"]) == set(found["n-shot"]) == set(found["configs"])
    assert found["n-samples"]["german"] == {"original": 5, "effective": 5}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
