"""Edited records from a file: what a line changes, whose golden replies stay, and what is refused."""

import json

import pytest

from remid_jax.dialogues.dials.categories import placed, records_of, with_dials
from remid_jax.dialogues.dials.edits import read_edits
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError


@pytest.fixture(scope="module")
def benchmark():
    return read_benchmark("package:rpgbench_compact/eight", categories=["german"])


@pytest.fixture
def file(tmp_path):
    def file(rows):
        path = tmp_path / "edits.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return file


def edit(k, **more):
    return {"sample_ID": f"id-test-{k}", "dialogue_context": [{"user_query": f"And now {k}?"}], **more}


def test_a_line_changes_what_it_names(benchmark, file):
    path = file([edit(k, agent_golden_response=f"Now {k}.") for k in (2, 1)])
    [of_dial] = placed(parse_dials([f"edited({path})"]), benchmark)
    records = records_of(of_dial, benchmark.test, benchmark.train, 0)
    originals = {record.id: record for record in benchmark.test["IDTest"]}
    assert [record.id for record in records] == ["id-test-1 edited(edits.jsonl)", "id-test-2 edited(edits.jsonl)"]
    for k, record in enumerate(records, 1):
        original = originals[f"id-test-{k}"]
        assert [turn.text for turn in record.dialogue] == [f"And now {k}?"]
        assert record.golden == f"Now {k}."
        assert (record.user_persona, record.agent_character) == (original.user_persona, original.agent_character)
        assert (record.lineage, record.category) == (original.lineage, "edited(edits.jsonl)")
    assert of_dial.no_golden is None
    prints = {text: with_dials(benchmark, [of_dial], 0).fingerprint for text in ("once", "again")}
    file([edit(k, agent_golden_response=f"Never {k}.") for k in (2, 1)])
    [other] = placed(parse_dials([f"edited({path})"]), benchmark)
    assert prints["once"] == prints["again"] != with_dials(benchmark, [other], 0).fingerprint


def test_without_golden_replies_of_their_own_they_have_none(benchmark, file):
    path = file([edit(k) for k in (1, 2)])
    [of_dial] = placed(parse_dials([f"edited({path})"]), benchmark)
    assert {record.golden for record in records_of(of_dial, benchmark.test, benchmark.train, 0)} == {""}
    assert of_dial.no_golden == "edited(edits.jsonl) has no golden replies to its edited contexts"


@pytest.mark.parametrize(("rows", "said"), [
    ([{"sample_ID": "none"}], "{path}: line 1: sample_ID: 'none' is no record of the benchmark"),
    ([edit(1), edit(1)], "{path}: line 2: sample_ID: a second edit of 'id-test-1'"),
    ([edit(1, lineage="x")], "{path}: line 1 ('id-test-1'): lineage: cannot be edited: an edit may hold user_persona, "
                             "agent_character, dialogue_context, agent_golden_response"),
    ([edit(1, agent_character="Ada")], "{path}: line 1 ('id-test-1'): agent_character: must be an object, not a text"),
    ([edit(1, agent_golden_response="a"), edit(2)],
     "{path}: 1 of 2 edits have an agent_golden_response: give one to all or to none"),
    ([3], "{path}: line 1: must be an object, not a number"),
])  # fmt: skip
def test_what_is_wrong_is_said(benchmark, file, rows, said):
    path = file(rows)
    with pytest.raises(UserError) as error:
        read_edits(str(path), [record for records in benchmark.test.values() for record in records])
    assert str(error.value) == said.format(path=path)
