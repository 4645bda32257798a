"""Benchmarks that were built apart become one: what names, lineages and gates make of it."""

import json

import pytest
from refusal import refusal

from remid_jax.construction.joining import join
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import read_benchmark, read_records
from remid_jax.progress import Silent


@pytest.fixture(scope="module")
def one(whole):
    """The folder of a build: two records in each of twelve categories."""
    return whole[0]


@pytest.fixture
def changed(one, tmp_path):
    """changed(change): a folder with that build, each of its rows changed."""

    def changed(change):
        folder = tmp_path / "changed"
        folder.mkdir()
        for name in ("build.json", "records.manifest.json"):
            (folder / name).write_bytes((one / name).read_bytes())
        rows = [change(json.loads(line)) for line in (one / "records.jsonl").read_text().splitlines()]
        (folder / "records.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return folder

    return changed


def backwards(value):
    """All texts of a value from their ends to their beginnings."""
    if isinstance(value, str):
        return value[::-1]
    return [backwards(of) for of in value] if isinstance(value, list) else {key: backwards(of) for key, of in value.items()}


def unlike(row):
    """A row of which nothing is like it was but its id, its lineage and its category."""
    return backwards(row) | {key: row[key] for key in ("sample_ID", "lineage", "subset_tag")}


def test_what_is_unlike_is_kept_under_names_of_its_own(one, changed, tmp_path):
    other = changed(unlike)
    found = join({"a": str(one), "b": str(other)}, tmp_path, Silent())
    whole = read_benchmark(tmp_path / "records.jsonl")
    assert {name: len(records) for name, records in whole.test.items()} == dict.fromkeys(RPGBENCH.categories, 4)
    expected = {f"a/{of.id}": f"a/{of.lineage}" for of in read_records(one / "records.jsonl")}
    expected |= {f"b/{of.id}": f"b/{of.lineage}" for of in read_records(other / "records.jsonl")}
    assert {of.id: of.lineage for records in whole.test.values() for of in records} == expected
    saved = json.loads((tmp_path / "build.json").read_text())
    assert saved["fingerprint"] == whole.fingerprint == read_benchmark(tmp_path / "PDGBench.json").fingerprint
    assert saved["counts"]["categories"]["german"] == {"made": 4, "kept": 4, "lineages": 4}
    assert list(saved["slices"]) == ["a", "b"]
    assert found.screening.rejects == []


def test_copies_are_taken_out_and_one_character_is_one_lineage(one, changed, tmp_path):
    found = join({"a": str(one), "b": str(one)}, tmp_path, Silent())
    assert [of.id for of in found.screening.kept] == [f"a/{of.id}" for of in read_records(one / "records.jsonl")]
    assert {reject.gate for reject in found.screening.rejects} == {"duplicates"}
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 24

    other = changed(lambda row: unlike(row) | {"agent_character": row["agent_character"]})
    found = join({"a": str(one), "b": str(other)}, tmp_path, Silent())
    lineages = {of.id: of.lineage for of in found.screening.kept}
    assert len(lineages) == 48
    for name, lineage in lineages.items():
        assert lineage == lineages[name.replace("b/", "a/")]
    assert found.results["counts"]["categories"]["IDTest"] == {"made": 4, "kept": 4, "lineages": 2}


def test_a_slice_of_which_nothing_was_kept_adds_nothing(one, changed, tmp_path):
    empty = changed(lambda row: row)
    (empty / "records.jsonl").write_text("")
    found = join({"a": str(one), "b": str(empty)}, tmp_path, Silent())
    assert [of.id for of in found.screening.kept] == [f"a/{of.id}" for of in read_records(one / "records.jsonl")]


def test_training_records_that_another_slice_tests_are_taken_out(one, changed, tmp_path):
    other = changed(lambda row: unlike(row) | {"agent_character": row["agent_character"], "subset_tag": "IDTrain"})
    found = join({"a": str(one), "b": str(other)}, tmp_path, Silent())
    assert {reject.gate for reject in found.screening.rejects} == {"split"}
    assert len(found.screening.rejects) == 24


def test_a_folder_without_a_build_is_refused(tmp_path):
    said = refusal(join, {"a": str(tmp_path)}, tmp_path, Silent())
    assert said.startswith(f"{tmp_path / 'build.json'}: ")
