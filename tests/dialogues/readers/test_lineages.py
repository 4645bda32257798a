"""Lineages of several kinds of clusters, in every format that has lineages."""

import dataclasses
import json

import pytest
from refusal import refusal

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record, Turn, write_jsonl

PAIRS = [("u1", "c1"), ("u1", "c2"), ("u2", "c1"), ("u2", "c2")]
TALK = [("user", "Flour?"), ("assistant", "Wind.")]


def named(user, character):
    return {"user": user, "character": character}


def own(number, **changes):
    return {
        "sample_ID": str(number), "user_persona": "Ana.", "agent_character": {"name": "Bo"},
        "dialogue_context": [{"user_query": "Flour?"}], "agent_golden_response": "Wind.", "subset_tag": "IDTest",
    } | changes  # fmt: skip


def chat(number, key, **changes):
    speaker, text = {"messages": ("role", "content"), "conversations": ("from", "value")}[key]
    talk = [("system", "A miller."), *TALK]
    return {"id": str(number), "category": "IDTest", key: [{speaker: who, text: said} for who, said in talk]} | changes


def clusters_read(rows, **settings):
    return [(dict(record.clusters), record.lineage) for record in read_benchmark(rows, **settings).test["IDTest"]]


EXPECTED = [(named(*pair), f"character {pair[1]}, user {pair[0]}") for pair in PAIRS]


@pytest.mark.parametrize("form", ["records", "messages", "conversations", "PDGBench.json"])
def test_every_format_takes_clusters_by_kind(form, tmp_path):
    lineages = [{"lineage": named(*pair)} for pair in PAIRS]
    if form in ("messages", "conversations"):
        assert clusters_read([chat(i, form, **of) for i, of in enumerate(lineages)]) == EXPECTED
        return
    rows = [own(i, **of) for i, of in enumerate(lineages)]
    if form == "records":
        assert clusters_read(rows) == EXPECTED
        return
    path = tmp_path / "PDGBench.json"
    lists = {"IDTrain": [], "IDTest": rows, "OOD1Test": [], "OOD2Test": [], "OOD3Test": []}
    path.write_text(json.dumps(lists), encoding="utf-8")
    assert clusters_read(path) == EXPECTED


def test_a_mapping_finds_each_kind_by_a_path_of_its_own():
    rows = [
        {"n": i, "who": {"id": int(user[1])}, "bot": {"key": character}, "log": [{"user_query": "Flour?"}], "end": "Wind.",
         "tag": "IDTest", "card": {"name": "Bo"}}
        for i, (user, character) in enumerate(PAIRS)
    ]  # fmt: skip
    mapping = {
        "sample_ID": "n", "lineage": {"user": "who.id", "character": "bot.key"}, "dialogue_context": "log",
        "agent_golden_response": "end", "subset_tag": "tag", "agent_character": "card",
    }  # fmt: skip
    expected = [(named(user[1], character), f"character {character}, user {user[1]}") for user, character in PAIRS]
    assert clusters_read(rows, mapping=mapping) == expected
    del rows[3]["bot"]
    assert refusal(read_benchmark, rows, mapping=mapping) == (
        "records[3] (3): lineage: names user, and character, user at records[0]: name the same in all records"
    )
    mapping["lineage"]["day"] = "when"
    assert "mapping: lineage.day: no row has 'when'" in refusal(read_benchmark, rows[:3], mapping=mapping)


def test_replies_of_a_dialogue_have_its_clusters():
    rows = [own(i, lineage=named(*pair)) for i, pair in enumerate(PAIRS)]
    for row in rows:
        row["dialogue_context"] = [{"user_query": "Flour?"}, {"agent_response": "No."}, {"user_query": "Why?"}]
    assert clusters_read(rows, every_reply=True) == [of for of in EXPECTED for _ in range(2)]


def test_clusters_survive_writing_and_objects_and_count_in_the_fingerprint(tmp_path):
    turn = (Turn("user", "Flour?"),)
    records = [
        Record(str(i), "Ana.", {"name": "Bo"}, turn, "Wind.", "IDTest", clusters=named(*pair)) for i, pair in enumerate(PAIRS)
    ]
    write_jsonl(tmp_path / "b.jsonl", records)
    assert read_benchmark(tmp_path / "b.jsonl").test["IDTest"] == records == read_benchmark(records).test["IDTest"]
    other = [dataclasses.replace(record, clusters={"user": record.clusters["user"]}) for record in records]
    assert [record.lineage for record in other] == ["user u1", "user u1", "user u2", "user u2"]
    assert read_benchmark(other).fingerprint != read_benchmark(records).fingerprint
    assert records[0].origins == {"user u1", "character c1"}
    assert dataclasses.replace(records[0], clusters={}, lineage="l").origins == {"l"}


FAULTS = {
    "empty": ({}, "lineage: empty"),
    "a number": ({"user": 3, "character": "c"}, "lineage.user: must be a text, not a number"),
    "an empty name": ({"user": " ", "character": "c"}, "lineage.user: empty"),
    "a list": (["u1"], "lineage: must be a text, not a list"),
    "a kind with a stroke": (
        {"user/id": "u1", "character": "c"},
        "lineage: 'user/id' is no name of a kind of cluster: use letters and digits, as in user, character",
    ),
    "another kind": (
        {"user": "u1"},
        "lineage: names user, and character, user at records[0]: name the same in all records",
    ),
    "a text": ("l", "lineage: names no kind of cluster, and character, user at records[0]: name the same in all records"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("form", ["records", "messages"])
def test_faults(form, name):
    lineage, fault = FAULTS[name]
    made = own if form == "records" else lambda number, **changes: chat(number, "messages", **changes)
    rows = [made(0, lineage=named("u1", "c1")), made(1, lineage=lineage)]
    assert f"records[1] ('1'): {fault}" in refusal(read_benchmark, rows)
