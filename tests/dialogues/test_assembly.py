"""What holds of records whatever their format: objects in memory, dialogues cut into replies, missing golden replies."""

import dataclasses
import hashlib
import json
from types import MappingProxyType

import numpy as np
from refusal import refusal

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import read_benchmark, read_training
from remid_jax.dialogues.records import Record, Turn, write_jsonl


def row(identity, *texts, category="IDTest", golden="Because.", **changes):
    dialogue = [{("user_query", "agent_response")[i % 2]: text} for i, text in enumerate(texts or ("Hi?",))]
    character = {"name": "Bo"}
    whole = {
        "sample_ID": identity, "user_persona": "Ana.", "agent_character": character, "dialogue_context": dialogue,
        "agent_golden_response": golden, "subset_tag": category,
    }  # fmt: skip
    return {key: value for key, value in (whole | changes).items() if value is not None}


def test_files_mappings_and_records_are_one_benchmark(tmp_path):
    whole = read_benchmark("package:rpgbench_compact")
    records = [*whole.train, *(record for members in whole.test.values() for record in members)]
    assert read_benchmark(records) == whole
    assert read_benchmark([record.to_json() for record in records], manifest=RPGBENCH) == whole
    assert read_benchmark(tuple(MappingProxyType(record.to_json()) for record in records)).fingerprint == whole.fingerprint
    assert read_training(records) == whole.train
    write_jsonl(tmp_path / "b.jsonl", records)
    assert read_benchmark(tmp_path / "b.jsonl") == whole


def test_the_fingerprint_of_the_package_is_what_it_was():
    whole = read_benchmark("package:rpgbench_compact/eight")
    records = [*whole.train, *(record for members in whole.test.values() for record in members)]
    lines = "".join(json.dumps(record.to_json(), ensure_ascii=False) + "\n" for record in records)
    assert whole.fingerprint == hashlib.sha256(lines.encode()).hexdigest()
    assert whole.fingerprint == "853215d5c606585c52e617a42cb3e39d4eff915dda5f0f8f244ec91e5f827721"


def test_objects_have_the_faults_of_files():
    record = Record("r", "Ana.", {"name": "Bo"}, (Turn("user", "Hi?"),), "Because.", "IDTest")
    rows = [
        record,
        dataclasses.replace(record, id="q"),
        dataclasses.replace(record, dialogue=(Turn("user", "Hi?"), Turn("user", "Ho?")), id="twice"),
        row("half", user_persona="\ud800"),
        row("nan", agent_character={"age": float("nan")}),
        row("array", agent_character={"age": np.ones(2)}),
        row("set", user_persona={"x"}),
        "text",
        record,
    ]
    half = "holds half a surrogate pair, which is no character: cut the text elsewhere, or replace it by U+FFFD"
    unfit = "use texts, numbers, lists and mappings"
    assert refusal(read_benchmark, rows).split("; ") == [
        "records[2] ('twice'): dialogue_context[1]: the user speaks twice in a row: join these turns into one",
        f"records[3] ('half'): user_persona: {half}",
        "records[4] ('nan'): agent_character.age: NaN is no number in JSON: leave it out, or quote it",
        f"records[5]: cannot be written as JSON (ndarray is no JSON value): {unfit}",
        f"records[6]: cannot be written as JSON (set is no JSON value): {unfit}",
        "records[7]: a record must be an object, not a text",
        "records[8] ('r'): sample_ID: already used at records[0]",
    ]
    assert refusal(read_benchmark, []) == "records: holds no test record"


def test_objects_are_left_as_they_were():
    rows = [row("a", "Hi {{char}}?"), row("b", agent_character={"name": "Bo", "likes": ["{{user}}"]})]
    before = json.dumps(rows)
    first, second = read_benchmark(rows).test["IDTest"]
    assert json.dumps(rows) == before
    assert first.dialogue == (Turn("user", "Hi Bo?"),)
    assert second.agent_character == {"name": "Bo", "likes": ["User"]}


def test_every_reply_of_a_dialogue():
    rows = [row("a", "1", "2", "3", golden="4", lineage="l"), row("b", golden="5")]
    rows[0]["dialogue_context"].insert(0, {"agent_response": "0"})
    zero, one, two, three = Turn("agent", "0"), Turn("user", "1"), Turn("agent", "2"), Turn("user", "3")
    bo = {"name": "Bo"}
    assert read_benchmark(rows, every_reply=True).test["IDTest"] == [
        Record("a turn 1", "Ana.", bo, (zero, one), "2", "IDTest", "l"),
        Record("a turn 2", "Ana.", bo, (zero, one, two, three), "4", "IDTest", "l"),
        Record("b turn 1", "Ana.", bo, (Turn("user", "Hi?"),), "5", "IDTest", "b"),
    ]
    train = [row("t", "1", "2", "3", golden="4", category="IDTrain")]
    assert [(r.id, r.golden) for r in read_training(train, every_reply=True)] == [("t turn 1", "2"), ("t turn 2", "4")]
    # two replies make a category of two records, though of one lineage
    assert [r.lineage for r in read_benchmark(rows[:1], every_reply=True).test["IDTest"]] == ["l", "l"]
    assert refusal(read_benchmark, rows[:1]) == "records: subset_tag: 'IDTest' has 1 record(s), an estimate needs at least 2"


def test_golden_replies_may_be_missing_where_that_is_asked_for():
    rows = [row("a", "1", "2", "3", golden=None), row("b", golden=""), row("c", agent_golden_response=None), row("d")]
    rows[2]["agent_golden_response"] = None
    missing, empty = "agent_golden_response: missing", "agent_golden_response: empty"
    assert refusal(read_benchmark, rows).split("; ") == [
        f"records[0] ('a'): {missing}",
        f"records[1] ('b'): {empty}",
        "records[2] ('c'): agent_golden_response: must be a text, not null",
    ]
    benchmark = read_benchmark(rows, golden_optional=True)
    assert [r.golden for r in benchmark.test["IDTest"]] == ["", "", "", "Because."]
    assert ["agent_golden_response" in r.to_json() for r in benchmark.test["IDTest"]] == [False, False, False, True]
    again = read_benchmark([r.to_json() for r in benchmark.test["IDTest"]], golden_optional=True)
    assert again == benchmark
    assert again.fingerprint == benchmark.fingerprint
    cut = read_benchmark(rows, golden_optional=True, every_reply=True).test["IDTest"]
    assert [(r.id, r.golden) for r in cut] == [
        ("a turn 1", "2"), ("a turn 2", ""), ("b turn 1", ""), ("c turn 1", ""), ("d turn 1", "Because."),
    ]  # fmt: skip
    chat = {"messages": [{"role": "system", "content": "A miller."}, {"role": "user", "content": "Flour?"}]}
    records = read_benchmark([chat, chat], golden_optional=True).test["all"]
    assert [(r.id, r.dialogue, r.golden) for r in records] == [(n, (Turn("user", "Flour?"),), "") for n in "12"]
    mend = "no record has a golden reply: give them one, or set config.benchmark.golden_optional=True"
    assert refusal(read_benchmark, [chat, chat]).split("; ") == [f"records: {mend}"] + [
        f"records[{n}]: messages: ends with the user: the last message must be the golden reply" for n in (0, 1)
    ]
    assert refusal(read_benchmark, [row("x", golden=3), row("y")], golden_optional=True) == (
        "records[0] ('x'): agent_golden_response: must be a text, not a number"
    )


def test_numbers_stand_in_for_ids_that_are_missing():
    def chat(**changes):
        turns = ({"role": who, "content": "x"} for who in ("system", "user", "assistant"))
        return {"messages": list(turns)} | changes

    assert [r.id for r in read_benchmark([chat(), chat(id="z"), chat()]).test["all"]] == ["1", "z", "3"]
    assert refusal(read_benchmark, [chat(id=2), chat()]) == (
        "records[1]: id: missing, and its number '2' is already used at records[0]"
    )
