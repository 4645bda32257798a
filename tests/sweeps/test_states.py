"""What is done, failed, running, stopped or waiting is said of each point, and what the rest will cost, where that is known."""

import dataclasses
import json

import pytest
from fake_tasks import VERSIONS, Tasks, add, number, plan_of

from configs import quickstart
from remid_jax.sweeps.forecasts import Forecast, Forecasts
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.locks import claimed
from remid_jax.sweeps.plan import Done, Failure
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.states import expected, listed, states

NAMES = ("end", "stuck", "alone", "half", "busy")


@pytest.fixture
def sweep(tmp_path):
    """A chain whose beginning is done, one whose beginning failed, and three points alone."""
    points = [
        number("begin"), add("middle", "begin", 1), add("end", "middle", 1), number("wrong", 5), add("stuck", "wrong", 1),
        number("alone", 7), number("half", 8), number("busy", 9), number("aside", 3),
    ]  # fmt: skip
    plan = plan_of(points, Tasks(), VERSIONS)
    index = Index(tmp_path / "index.json", plan)
    for name in ("begin", "alone"):
        index.add(name, Done(plan.identities[name], None, 0.25, {}, {"tokens_scored": 1000, "tokens_sampled": 10}))
    index.add("wrong", Failure(plan.identities["wrong"].key, "ValueError: x" + "y" * 200, "runs/wrong/log.txt"))
    for name in ("half", "busy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "point.json").write_text(json.dumps({"identity": plan.identities[name].as_json()}))
    return plan, index


def words(standings):
    return {state.point.name: state.word for state in standings}


def test_each_point_has_its_state(sweep, tmp_path):
    plan, index = sweep
    with claimed(tmp_path / "busy", lambda: None):
        standings = states(plan, index, NAMES, tmp_path)
    assert words(standings) == {
        "begin": "again", "middle": "waiting", "end": "waiting", "wrong": "failed", "stuck": "waiting", "alone": "done",
        "half": "stopped", "busy": "running",
    }  # fmt: skip
    notes = {state.point.name: state.note for state in standings}
    assert notes["middle"] == "for begin"
    assert notes["begin"] == "for its files, which are not in the workdir"
    assert notes["stuck"] == "for wrong, which failed"
    assert notes["wrong"].endswith("yyy (runs/wrong/log.txt)")
    assert words(states(plan, index, NAMES, tmp_path, retry_failed=True))["wrong"] == "ready"
    assert words(states(plan, index, ("alone", "wrong"), tmp_path)) == {"wrong": "failed", "alone": "done"}


def test_the_list_counts_states_and_shows_hours_and_errors(sweep, tmp_path):
    plan, index = sweep
    table = listed(states(plan, index, NAMES, tmp_path), index)
    assert table.title == "8 points: 1 again, 3 waiting, 1 failed, 1 done, 2 stopped"
    rows = {row.label: [cell.text for cell in row.cells] for row in table.rows}
    assert rows["alone"] == ["number", "done", "0.25", ""]
    assert rows["wrong"][:3] == ["number", "failed", ""]
    assert len(rows["wrong"][3]) == 120


def test_what_is_left_is_expected_to_take_what_its_task_took(sweep, tmp_path):
    plan, index = sweep
    table = expected(states(plan, index, ("alone", "half", "busy"), tmp_path), index)
    rows = {row.label: [cell.text for cell in row.cells][2:5] for row in table.rows}
    assert rows == {name: ["1,000", "10", "0.25"] for name in ("alone", "half", "busy")} | {
        "what is left": ["2,000", "20", "0.50"]
    }
    table = expected(states(plan, index, ("end", "half"), tmp_path), index)
    rows = {row.label: [cell.text for cell in row.cells][2:5] for row in table.rows}
    assert rows["end"] == rows["half"] == rows["what is left"] == ["unknown", "unknown", "unknown"]


def test_an_evaluation_samples_at_most_what_its_settings_allow():
    config = quickstart.get_config()
    config.benchmark.categories, config.benchmark.records = ("IDTest", "german"), 5
    config.policy.max_reply, config.policy.self_samples, config.estimator.max_reasoning = 40, 2, 64
    point = Point("evaluate", "evaluate", config.to_dict())
    assert Forecasts([]).of_point(point) == Forecast(None, 2 * 5 * (64 + 3 * 40), None, at_most=True)
    with config.unlocked():
        config.policy.replies = output("other", "replies.jsonl")
    ready = dataclasses.replace(point, config=config.to_dict(), needs=("other",))
    assert Forecasts([]).of_point(ready).to_sample == 2 * 5 * 64
    with config.unlocked():
        config.benchmark.source = output("other", "records.jsonl")  # which nobody can read yet
    unread = dataclasses.replace(point, config=config.to_dict(), needs=("other",))
    assert Forecasts([]).of_point(unread) == Forecast(None, None, None)


def test_a_sum_is_unknown_where_a_summand_is():
    known, unknown = Forecast(1, 2, 0.5, at_most=True), Forecast(None, 3, None)
    assert Forecast.total([known, known]) == Forecast(2, 4, 1.0, at_most=True)
    assert Forecast.total([known, unknown]) == Forecast(None, 5, None, at_most=True)
    assert Forecast.total([]) == Forecast(0, 0, 0)


def test_a_need_that_the_index_lacks_of_a_point_that_is_done_is_not_needed(sweep, tmp_path):
    plan, _ = sweep
    index = Index(tmp_path / "mended.json", plan)
    index.add("middle", Done(plan.identities["middle"], None, 0.25, {}, {}))
    assert plan.missing(["middle"], index, tmp_path) == []
    standings = states(plan, index, ["middle"], tmp_path)
    assert words(standings) == {"begin": "not needed", "middle": "done"}
    assert [row.label for row in listed(standings, index).rows] == ["begin", "middle"]
    assert expected(standings, index).title == "2 points: 1 not needed, 1 done"
