"""Comparisons of over 32 runs, from folders: the numbers of comparisons of a few, what is read, and what is left to files."""

import json

import numpy as np
import pytest
from evaluated import evaluation, saved, with_other_policy
from score_arrays import score_arrays, with_shifts, with_sources

from remid_jax import UserError, compare
from remid_jax.evaluation.comparison import LISTED
from remid_jax.information.simultaneous import PAIRED
from remid_jax.parallel import Devices

COUNTS = {"IDTest": 6, "german": 5, "spanish": 6, "Gaming": 6}
RUNS = PAIRED + 3
DEVICES = Devices()  # one, so that everything is compiled once


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs as evaluations leave them, with control policies and all that bounds need, and policy replies of their own; the last
    is the first again."""
    root, arrays = tmp_path_factory.mktemp("runs"), with_shifts(with_sources(score_arrays(COUNTS, seed=4)))
    found = []
    for number in range(RUNS):
        own = arrays
        if 0 < number < RUNS - 1:
            other = with_sources(with_other_policy(arrays, number), number)
            own = {name: other[name] if name.endswith("/policy") else array for name, array in arrays.items()}
        samples = [
            {"category": name, "record": record, "reply": f"{number} to {record}"}
            for name in COUNTS
            for record in arrays[f"{name}/record"].tolist()
        ]
        found.append(saved(root / f"run{number:02}", evaluation(own, {"policy.model": f"m{number}"}, samples)))
    return found


@pytest.fixture(scope="module")
def found(folders):
    return compare(folders, devices=DEVICES)


def numbers(rows):
    """What does not depend on how many runs are compared."""
    names = ("run", "kind", "name", "quantity", "value", "low", "high", "clusters", "validated", "run_value", "baseline_value")
    return [tuple(getattr(row, name) for name in names) for row in rows]


def test_numbers_are_those_of_comparisons_of_a_few_to_the_last_digit(folders, found):
    assert not found.results["every_formula"]
    assert len(found.runs) == RUNS
    rows = numbers(found.headline)
    assert len(rows) == len(found.differences) == (RUNS - 1) * 2 * (2 * len(COUNTS) + 5)
    for first in (1, RUNS - 3):
        few = compare([folders[0], *folders[first : first + 3]], devices=DEVICES)
        assert few.results["every_formula"]
        wanted = numbers(few.headline)
        assert [row for row in rows if row[0] in few.runs] == wanted
        assert found.results["records"]["german"]["common"] == 5


def test_equal_runs_differ_by_exactly_nothing(found):
    of_last = [row for row in found.headline if row.run == found.runs[-1]]
    assert {(row.value, row.low, row.high, row.simultaneous_low, row.simultaneous_high) for row in of_last} == {(0.0,) * 5}


def test_all_intervals_of_whole_replies_hold_together_at_one_level(found):
    family, novel = found.results["simultaneous"], found.results["novel_simultaneous"]
    assert family["cells"] == novel["cells"] == (RUNS - 2) * (2 * len(COUNTS) + 5)  # of the last run none varies
    assert 0.95 < family["each"] < 1
    for row in found.headline:
        assert row.simultaneous_low <= row.low
        assert row.high <= row.simultaneous_high


def test_the_best_are_listed_with_the_records_that_changed_and_ranked_overall(found):
    overall = [of for of in found.standings if (of.kind, of.quantity) == ("overall", "emid")]
    best = sorted((of for of in overall if of.run != found.runs[0]), key=lambda of: of.value)[:LISTED]
    assert found.results["listed"] == list(found.results["changed"]) == [of.run for of in best]
    for of in found.standings:
        ranked = of.kind == "overall"
        assert (of.best_rank is not None, of.low is not None) == (ranked, ranked)
        assert of.value is not None
    first = found.results["changed"][best[0].run][0]
    number = int(best[0].run[-2:])
    assert (first["reply"], first["baseline_reply"]) == (f"{number} to {first['record']}", f"0 to {first['record']}")
    changes = [abs(row["change"]) for row in found.results["changed"][best[0].run]]
    assert changes == sorted(changes, reverse=True)


def test_the_file_is_one_line_and_the_table_has_every_row(found, tmp_path):
    found.save(tmp_path / "comparison.json")
    text = (tmp_path / "comparison.json").read_text()
    assert text.count("\n") == 1
    assert json.loads(text) == json.loads(json.dumps(found.results))
    assert found.table()["value"].to_pylist() == [row.value for row in found.differences]


def with_scores(folders, tmp_path, change):
    """The folders, of the last of which the scores are changed."""
    with np.load(folders[-1] / "scores.npz") as arrays:
        found = change(dict(arrays))
    last = saved(tmp_path / "changed", evaluation({}, {}, [{"category": "german", "record": "german-1", "reply": ""}]))
    np.savez(last / "scores.npz", **found)
    return [*folders[:-1], last]


def test_faults_of_a_run_are_said_in_one_line(folders, tmp_path):
    def moved(arrays):
        arrays["Gaming/loglik/plain/golden"] += 1.0
        arrays["Gaming/loglik_by_source/plain/golden"][..., 3] += 1.0
        return arrays

    with pytest.raises(UserError, match=r"^\S+/changed: golden replies were scored differently than in \S+/run00: Gaming/"):
        compare(with_scores(folders, tmp_path, moved), devices=DEVICES)

    def cut(arrays):
        return arrays | {"german/loglik/plain/policy": arrays["german/loglik/plain/policy"][:4]}

    with pytest.raises(UserError, match=r"changed: scores: .*german/loglik/plain/policy has shape \[4, 5\], expected \[5, 5\]"):
        compare(with_scores(folders, tmp_path, cut), devices=DEVICES)

    def named_in_a_square(arrays):
        return arrays | {"german/record": np.array([["a", "b"], ["c", "d"]])}

    with pytest.raises(UserError, match=r"changed: scores: .*german/record has shape \[2, 2\], expected \[any\]"):
        compare(with_scores(folders, tmp_path, named_in_a_square), devices=DEVICES)
    runs = with_scores(folders[:3], tmp_path, dict)
    content = bytearray((runs[-1] / "scores.npz").read_bytes())
    with np.load(folders[2] / "scores.npz") as arrays:
        content[content.index(arrays["german/loglik/plain/policy"].tobytes()) + 9] ^= 4
    (runs[-1] / "scores.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"changed/scores\.npz: german/loglik/plain/policy cannot be read \(Bad CRC-32"):
        compare([runs[0], runs[-1]], devices=DEVICES)


def test_compressed_scores_are_read_all_the_same(folders, found, tmp_path):
    runs = with_scores(folders[:3], tmp_path, dict)
    with np.load(folders[2] / "scores.npz") as arrays:
        np.savez_compressed(runs[-1] / "scores.npz", **arrays)
    few = numbers(compare(runs, devices=DEVICES).headline)
    names = dict(zip((str(run) for run in runs), found.runs, strict=False))
    assert [(names[row[0]], *row[1:]) for row in few] == [row for row in numbers(found.headline) if row[0] in found.runs[1:3]]


def test_runs_that_lack_records_are_compared_on_what_all_hold(folders, found, tmp_path):
    def fewer(arrays):
        kept = np.array([4, 0, 2, 1])
        for name in [name for name in arrays if name.startswith("german/")]:
            array = arrays.pop(name)
            square = "/loglik" in name and "/self/" not in name
            if not ("/of_id/" in name or "/in_id/" in name or "/self/" in name):
                arrays[name] = array if not array.ndim else array[np.ix_(kept, kept)] if square else array[kept]
        return arrays

    runs = with_scores(folders, tmp_path, fewer)
    many = compare(runs, devices=DEVICES)
    assert many.results["missing"] == {"german": {str(runs[-1]): ["german-3"]}}
    assert many.results["records"]["german"]["common"] == 4
    few = compare([runs[0], runs[7], runs[-1]], devices=DEVICES)
    rows = numbers(many.headline)
    assert [row for row in rows if row[0] in few.runs] == numbers(few.headline)
    assert [row for row in rows if row[2] == "Gaming"] != [row for row in numbers(found.headline) if row[2] == "Gaming"]
