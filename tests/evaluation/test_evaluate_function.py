"""One tiny evaluation three ways: the command line's main, Python with paths, Python with objects. All give equal numbers."""

import html
import json
import re
import warnings

import numpy as np
import pytest
from scripts import change

import remid_jax
from configs import quickstart
from experiments import evaluate as script
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import Notice, UserError
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.numbers import COLUMNS, Number
from remid_jax.evaluation.records import ready_texts
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent
from remid_jax.reporting.tables import headline

STATISTICS, DEVICES = {"bootstrap": 20, "subsamples": 4}, {"tokens_per_step": 1024, "sampling_rows": 2}


@pytest.fixture(scope="module")
def records(few_records):
    return [json.loads(line) for line in few_records.read_text().splitlines()]


@pytest.fixture(scope="module")
def replies(records):
    """The policy's: golden replies backwards."""
    return {record["sample_ID"]: record["agent_golden_response"][::-1] for record in records}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, replies):
    """The working directory of all three, with nothing in it but the policy's replies."""
    folder = tmp_path_factory.mktemp("cwd")
    lines = [json.dumps({"sample_ID": name, "reply": reply}) + "\n" for name, reply in replies.items()]
    (folder / "replies.jsonl").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def from_objects(records, replies, tiny_directory, folder) -> Evaluation:
    found = remid_jax.evaluate(
        records,
        policy={"replies": replies},
        estimator={"model": open_model(str(tiny_directory)), "adapters": "", "max_reasoning": 8},
        statistics=STATISTICS,
        devices=DEVICES,
        progress=Silent(),
    )
    assert [path.name for path in folder.iterdir()] == ["replies.jsonl"]  # no file is written unless asked
    return found


@pytest.fixture(scope="module")
def from_paths(few_records, tiny_directory, folder, from_objects) -> Evaluation:
    return remid_jax.evaluate(
        few_records,
        policy={"replies": folder / "replies.jsonl"},
        estimator={"model": tiny_directory, "adapters": "", "max_reasoning": 8},
        statistics=STATISTICS,
        devices=DEVICES,
        store=folder / "store.sqlite",
        progress=Silent(),
    )


@pytest.fixture(scope="module")
def from_the_command_line(few_records, tiny_directory, folder, from_paths) -> Evaluation:
    config = quickstart.get_config()
    paths = {"benchmark.source": str(few_records), "policy.replies": str(folder / "replies.jsonl")}
    model = {"estimator.model": str(tiny_directory), "estimator.adapters": "", "estimator.max_reasoning": 8}
    groups = {"statistics": STATISTICS, "devices": DEVICES}
    named = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    as_by_default = {"estimator.plain": "", "policy.max_reply": 64, "policy.self_samples": 2, "first_look": False}
    as_by_default |= {"estimator.dtype": "float32", "policy.dtype": "float32", "devices.max_row": 2048}
    change(config, paths | model | named | as_by_default | {"store": str(folder / "store.sqlite")})
    workdir = folder / "work"
    workdir.mkdir()
    script.main(config, workdir)
    return Evaluation.read(workdir)


def same(one: Evaluation, other: Evaluation) -> None:
    assert one.estimates == other.estimates
    assert one.records == other.records
    assert one.scores.keys() == other.scores.keys()
    for name, array in one.scores.items():
        np.testing.assert_array_equal(array, other.scores[name])


def test_paths_and_objects_give_equal_numbers(from_paths, from_objects):
    same(from_paths, from_objects)


def test_the_command_line_gives_the_numbers_of_python(from_the_command_line, from_paths):
    same(from_the_command_line, from_paths)
    assert from_the_command_line.samples == from_paths.samples
    for kind in ("scoring", "sampling"):  # it goes on from the store that Python was given
        assert [counts["store_misses"] for counts in from_the_command_line.run[kind].values()] == [0]
        assert all(counts["store_misses"] > 0 for counts in from_paths.run[kind].values())


def test_what_is_saved_is_read_back(from_objects, tmp_path):
    from_objects.save(tmp_path / "new" / "folder")
    again = Evaluation.read(tmp_path / "new" / "folder")
    same(again, from_objects)
    assert again.results == json.loads(json.dumps(from_objects.results))
    assert list(again.samples) == list(from_objects.samples)
    assert {**again.run, "seconds": None} == {**json.loads(json.dumps(from_objects.run)), "seconds": None}


def test_the_table_holds_every_number_once(from_objects):
    table = from_objects.table()
    assert table.schema.equals(COLUMNS)
    rows = table.to_pylist()
    estimates = from_objects.estimates
    sections = {"category": estimates["categories"], "shift": estimates["shifts"]}
    for row in rows:
        section = sections[row["kind"]][row["name"]][row["conditioning"]]
        if row["formula"] in ("identified", "misplaced_equivalent"):
            number = Number.of(section[row["formula"]][row["quantity"]][row["part"]])
        else:
            terms = section if row["part"] == "whole" else section["by_source"]
            of_part = terms[row["quantity"]] if row["part"] == "whole" else terms[row["quantity"]][row["part"]]
            number = Number.of(of_part[row["formula"]][row["unit"]])
        assert (row["value"], row["low"], row["high"], row["n"]) == (number.value, number.low, number.high, number.n)
    # 3 categories and 2 shifts by 2 conditionings; IDTest, the reference, has no EMID and no estimator shift.
    in_headline = [row for row in rows if (row["formula"], row["unit"]) == ("club", "token_rate")]
    emi = [row for row in in_headline if row["quantity"] == "emi" and row["part"] == "whole"]
    emid = [row for row in in_headline if row["quantity"] == "emid" and row["part"] == "novel"]
    assert (len(emi), len(emid)) == ((3 + 2) * 2, (2 + 2) * 2)
    names = ("kind", "name", "conditioning", "quantity", "part", "formula", "unit")
    keys = [tuple(row[key] for key in names) for row in rows]
    assert len(set(keys)) == len(keys)
    [german] = [row for row in rows if HEADLINE.items() <= row.items() and row["kind"] == "category"]
    assert german["value"] == from_objects.categories["german"].r_emid.value
    assert german["shift"] == "user"


HEADLINE = {"name": "german", "conditioning": "reasoned", "quantity": "emid", "part": "whole", "formula": "club"}
HEADLINE |= {"unit": "token_rate"}


def test_shifts_are_the_means_of_their_categories(from_objects):
    assert {name: shift.categories for name, shift in from_objects.shifts.items()} == {
        "user": ("german",),
        "dialogue": ("WordLevelComposition",),
    }
    categories = from_objects.categories
    assert categories["IDTest"].r_emid is None
    for shift in from_objects.shifts.values():
        [name] = shift.categories
        assert shift.r_emid.value == pytest.approx(categories["IDTest"].r_emi.value - categories[name].r_emi.value, abs=1e-12)
        assert shift.r_emid.value == pytest.approx(categories[name].r_emid.value, abs=1e-12)


def test_the_answer_and_what_is_new_in_replies_are_at_hand(from_objects):
    found = from_objects.estimates
    assert from_objects.verdict == found["verdict"]["sentences"]
    assert str(from_objects) == "\n".join(from_objects.verdict)
    assert set(from_objects.novel) == {"user", "dialogue", "german", "WordLevelComposition"}
    assert set(from_objects.identified) == {*from_objects.novel, "IDTest"}
    of_german = found["categories"]["german"]["reasoned"]
    assert from_objects.novel["german"].value == of_german["by_source"]["emid"]["novel"]["club"]["token_rate"]["value"]
    assert from_objects.identified["german"].value == of_german["identified"]["policy"]["novel"]["value"]


def test_a_report_is_one_file_with_the_headline(from_objects, tmp_path):
    from_objects.report(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#|https?:)', page)
    for text in cells(from_objects):
        assert text in page


def test_a_notebook_shows_the_headline(from_objects):
    shown = from_objects._repr_html_()
    assert html.escape(" ".join(from_objects.verdict)) in shown
    for text in cells(from_objects):
        assert text in shown


def cells(evaluation):
    rows = headline(evaluation.results).rows
    found = [text for row in rows for text in (row.label, *(cell.text for cell in row.cells)) if text]
    assert len(found) >= 10
    return found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_promt": 3}, "max_promt: no such setting: did you mean max_prompt (a whole number)?"),
        (
            {"policy": {"max_replies": 3, "model": 4}},
            "policy.max_replies: no such setting: did you mean policy.max_reply (a whole number)?; "
            "policy.model=4: must be a text, as 'package:smollm2_policy' is",
        ),
        ({"seed": "one"}, "seed='one': must be a whole number, as 0 is"),
        ({"statistics": 3}, "statistics=3: is a group of settings: give a mapping of bootstrap, level, subsamples"),
        ({"statistics": {"level": 2.0}}, "config.statistics.level=2.0: must be a number above 0 and below 1"),
    ],
)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(UserError) as error:
        remid_jax.evaluate(progress=Silent(), **settings)
    assert str(error.value) == message


def test_missing_replies_are_named(records, replies, tiny_directory):
    missing = records[4]["sample_ID"]
    with pytest.raises(UserError) as error:
        remid_jax.evaluate(
            records,
            {"replies": {name: reply for name, reply in replies.items() if name != missing}},
            {"model": tiny_directory, "adapters": ""},
            progress=Silent(),
        )
    assert str(error.value) == f"no reply for records {missing!r}: give one for each"


@pytest.mark.parametrize("kind", ["reply", "reasoning"])
def test_texts_of_records_that_are_not_there_are_told_of(records, replies, kind):
    benchmark = read_benchmark(records)
    some = {name: members[:2] for name, members in benchmark.test.items()}
    chosen = [record.id for members in some.values() for record in members]
    expected = {name: replies[name] for name in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ready_texts(kind, None, replies, some, benchmark) == expected
    told = rf"^{kind} given for 2 id\(s\) that are no records of the benchmark, first 'Odd': not used$"
    with pytest.warns(Notice, match=told):
        assert ready_texts(kind, None, {"Odd": "No.", 3: "No.", **replies}, some, benchmark) == expected
