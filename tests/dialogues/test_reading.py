import copy
import dataclasses
import json

import pytest

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import LISTS, read_benchmark, read_reasoning, read_replies
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError


def row(identity, category="IDTest", **changes):
    return {
        "sample_ID": identity,
        "user_persona": "Ana, 30, a baker.",
        "agent_character": {"name": "Bo", "traits": ["dry", "kind"]},
        "dialogue_context": [{"user_query": "Hi?"}, {"agent_response": "Ho."}, {"user_query": "Why?"}],
        "agent_golden_response": "Because.",
        "subset_tag": category,
    } | changes


def jsonl(path, *rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), encoding="utf-8")
    return path


def message(function, *args):
    with pytest.raises(UserError) as caught:
        function(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def drop(r, key):
    return {k: v for k, v in r.items() if k != key}


HALF = "holds half a surrogate pair, which is no character: cut the text elsewhere, or replace it by U+FFFD"
FAULTY = {
    "missing key": (drop(row("x"), "user_persona"), "user_persona: missing"),
    "missing category": (drop(row("x"), "subset_tag"), "subset_tag: missing"),
    "unknown key": (row("x", linage="a"), "linage: unknown key (did you mean 'lineage'?)"),
    "persona of wrong type": (row("x", user_persona=["a"]), "user_persona: must be a text, not a list"),
    "golden null": (row("x", agent_golden_response=None), "agent_golden_response: must be a text, not null"),
    "golden empty": (row("x", agent_golden_response="  "), "agent_golden_response: empty"),
    "lineage a number": (row("x", lineage=3), "lineage: must be a text, not a number"),
    "character a text": (
        row("x", agent_character="Bo"),
        "agent_character: must be an object, or the path of a character card (.png or .json), not a text",
    ),
    "character empty": (row("x", agent_character={"name": ""}), "agent_character: empty"),
    "half a surrogate": (row("x", user_persona="\ud800"), f"user_persona: {HALF}"),
    "half a surrogate inside": (row("x", agent_character={"name": ["\udc00"]}), f"agent_character.name[0]: {HALF}"),
    "dialogue an object": (row("x", dialogue_context={}), "dialogue_context: must be a list, not an object"),
    "dialogue empty": (row("x", dialogue_context=[]), "dialogue_context: empty"),
    "turn of no speaker": (
        row("x", dialogue_context=[{"query": "Hi?"}]),
        'dialogue_context[0]: must be {"user_query": text} or {"agent_response": text}',
    ),
    "turn of two speakers": (
        row("x", dialogue_context=[{"user_query": "Hi?", "agent_response": "Ho."}]),
        'dialogue_context[0]: must be {"user_query": text} or {"agent_response": text}',
    ),
    "turn empty": (row("x", dialogue_context=[{"user_query": ""}]), "dialogue_context[0].user_query: empty"),
    "turns not alternating": (
        row("x", dialogue_context=[{"user_query": "Hi?"}, {"user_query": "Why?"}]),
        "dialogue_context[1]: the user speaks twice in a row: join these turns into one",
    ),
    "dialogue ends with the agent": (
        row("x", dialogue_context=[{"user_query": "Hi?"}, {"agent_response": "Ho."}]),
        "dialogue_context: ends with an agent_response, must end with a user_query",
    ),
    "duplicate": (row("a"), "sample_ID: already used at {path}: line 1"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_names_file_record_and_field(tmp_path, name):
    faulty, fault = FAULTY[name]
    path = jsonl(tmp_path / "b.jsonl", row("a"), row("b"), "", faulty)
    identity = faulty["sample_ID"]
    assert message(read_benchmark, path) == f"{path}: line 4 ({identity!r}): " + fault.replace("{path}", str(path))


@pytest.mark.parametrize("name", [n for n in FAULTY if n not in ("missing category", "unknown key")])
def test_the_same_faults_are_found_in_the_lists_of_the_authors(tmp_path, name):
    faulty, fault = FAULTY[name]
    path = tmp_path / "PDGBench.json"
    path.write_text(json.dumps({k: [] for k in LISTS} | {"IDTest": [row("a"), row("b"), faulty]}), encoding="utf-8")
    fault = fault.replace("line 1", "IDTest[0]").replace("{path}", str(path))
    assert message(read_benchmark, path) == f"{path}: IDTest[2] ({faulty['sample_ID']!r}): {fault}"


def test_all_faults_of_a_file_come_at_once(tmp_path):
    path = jsonl(tmp_path / "b.jsonl", *(row(f"r{i}", agent_golden_response="") for i in range(23)), "{", row("g", "german"))
    mend = f"{path}: no record of 'IDTest' has a golden reply: give them one, or set config.benchmark.golden_optional=True"
    listed = [f"{path}: line {i + 1} ('r{i}'): agent_golden_response: empty" for i in range(19)]
    assert message(read_benchmark, path).split("; ") == [mend, *listed, "and 6 more"]  # 4 replies, broken JSON, 1 German
    path = jsonl(tmp_path / "c.jsonl", row("a", lineage=""), row("c", user_persona=1, agent_golden_response=""), "[1]")
    assert message(read_benchmark, path).split("; ") == [
        f"{path}: line 1 ('a'): lineage: empty",
        f"{path}: line 2 ('c'): user_persona: must be a text, not a number",
        f"{path}: line 2 ('c'): agent_golden_response: empty",
        f"{path}: line 3: a record must be an object, not a list",
    ]


def test_unreadable_files(tmp_path):
    path = tmp_path / "b.jsonl"
    assert message(read_benchmark, path) == f"{path}: cannot be read (No such file or directory): check the path"
    path.write_text(" \n")
    assert message(read_benchmark, path) == f"{path}: is empty"
    jsonl(path, row("a"), row("b"), '{"sample_ID": x}')
    assert message(read_benchmark, path) == f"{path}: line 3, column 15: broken JSON (Expecting value)"
    path.write_bytes(b"\n".join([*(json.dumps(row(i)).encode() for i in "ab"), b'{"\xff"}']))
    assert message(read_benchmark, path) == f"{path}: line 3: not UTF-8 (byte 3 of the line): save it as UTF-8"
    path.write_text("[" * 100_000)
    assert message(read_benchmark, path) == f"{path}: line 1: nested deeper than 100: make it flatter"
    lists = tmp_path / "b.json"
    lists.write_text('{"IDTrain": [],\n "IDTest" []}')
    assert message(read_benchmark, lists) == f"{lists}: line 2, column 11: broken JSON (Expecting ':' delimiter)"
    lists.write_bytes(b'{"IDTrain":\n\xff')
    assert message(read_benchmark, lists) == f"{lists}: line 2: not UTF-8 (byte 1 of the line): save it as UTF-8"
    lists.write_text("[]")
    assert message(read_benchmark, lists) == f"{lists}: is an empty list"
    shape = f"{lists}: must be a list of rows, or an object of the lists IDTrain, IDTest, OOD1Test, OOD2Test, OOD3Test"
    lists.write_text('{"rows": []}')
    assert message(read_benchmark, lists) == f"{shape}, not an object without them"
    lists.write_text('"rows"')
    assert message(read_benchmark, lists) == f"{shape}, not a text"
    assert message(read_benchmark, tmp_path) == (
        f"{tmp_path}: not a benchmark: name a .jsonl, a .json of rows or like PDGBench.json, or package:rpgbench_compact"
    )
    assert message(read_benchmark, "package:other") == (
        "package:other: no such benchmark in this package: use package:rpgbench_compact or a file"
    )


def test_a_category_of_one_record_cannot_be_estimated(tmp_path):
    path = jsonl(tmp_path / "b.jsonl", row("a"), row("b"), row("t", "IDTrain"), row("c", "german"))
    assert message(read_benchmark, path) == f"{path}: subset_tag: 'german' has 1 record(s), an estimate needs at least 2"
    path = jsonl(tmp_path / "c.jsonl", row("a", "german"), row("b", "german"))
    assert message(read_benchmark, path) == f"{path}: subset_tag: 'IDTest' has 0 record(s), an estimate needs at least 2"


@pytest.fixture
def lists():
    return {name: [row(f"{c}-{i}", c) for c in categories for i in range(2)] for name, categories in LISTS.items()}


def test_the_file_of_the_authors(tmp_path, lists):
    path = tmp_path / "PDGBench.json"
    lists["IDTest"][0]["provenance"] = "a further field of theirs"
    del lists["IDTrain"][0]["subset_tag"]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(lists).encode())
    benchmark = read_benchmark(str(path))
    assert [r.id for r in benchmark.train] == ["IDTrain-0", "IDTrain-1"]
    assert benchmark.train[0].category == "IDTrain"
    assert list(benchmark.test) == list(RPGBENCH.categories)
    assert [[r.id for r in records] for records in benchmark.test.values()] == [
        [f"{c}-0", f"{c}-1"] for c in RPGBENCH.categories
    ]
    assert benchmark.test["Film & Television"][1] == Record(
        "Film & Television-1", "Ana, 30, a baker.", {"name": "Bo", "traits": ["dry", "kind"]},
        (Turn("user", "Hi?"), Turn("agent", "Ho."), Turn("user", "Why?")), "Because.", "Film & Television",
        "Film & Television-1",
    )  # fmt: skip
    rows = [r for rs in (benchmark.train, *benchmark.test.values()) for r in rs]
    same = read_benchmark(jsonl(tmp_path / "same.jsonl", *(r.to_json() for r in reversed(rows))))
    assert same.fingerprint != benchmark.fingerprint  # another order is another benchmark
    same = read_benchmark(jsonl(tmp_path / "same.jsonl", *(r.to_json() for r in rows)))
    assert same == benchmark
    assert same.fingerprint == benchmark.fingerprint  # another container is not


def test_faults_of_the_authors_lists(tmp_path, lists):
    path = tmp_path / "PDGBench.json"
    lists["OOD2Test"] += [row("de", "german"), row("new", "Opera")]
    lists["IDTrain"].append(row("tr", "IDTest"))
    lists["OOD4Test"] = []
    lists["IDTest"] = {"a": 1}
    del lists["OOD3Test"]
    path.write_text(json.dumps(lists))
    assert message(read_benchmark, path).split("; ") == [
        f"{path}: OOD3Test: missing list",
        f"{path}: OOD4Test: unknown key, the lists are IDTrain, IDTest, OOD1Test, OOD2Test, OOD3Test",
        f"{path}: IDTrain[2] ('tr'): subset_tag: 'IDTest' belongs in the list IDTest",
        f"{path}: IDTest: must be a list, not an object",
        f"{path}: OOD2Test[8] ('de'): subset_tag: 'german' belongs in the list OOD1Test",
        f"{path}: OOD2Test[9] ('new'): subset_tag: unknown category 'Opera', must be one of {', '.join(LISTS['OOD2Test'])}",
        f"{path}: subset_tag: 'IDTest' has 0 record(s), an estimate needs at least 2",
    ]


def test_an_authors_file_of_empty_lists_is_refused(tmp_path):
    path = tmp_path / "PDGBench.json"
    path.write_text(json.dumps({name: [] for name in LISTS}))
    assert message(read_benchmark, path) == f"{path}: holds no test record"


RECORDS = [Record(i, "p", {"n": "c"}, (Turn("user", "Hi?"),), "g", "IDTest") for i in ("a", "b", "c")]


@pytest.mark.parametrize(("read", "field"), [(read_replies, "reply"), (read_reasoning, "reasoning")])
def test_ready_answers(tmp_path, read, field):
    path = jsonl(tmp_path / "r.jsonl", *({"sample_ID": i, field: f" {i}\u2028{i}\n"} for i in "cab"), "")
    found = read(path, RECORDS)
    assert list(found.items()) == [(i, f" {i}\u2028{i}\n") for i in "abc"]


@pytest.mark.parametrize(("read", "field"), [(read_replies, "reply"), (read_reasoning, "reasoning")])
def test_faults_of_ready_answers(tmp_path, read, field):
    rows = [{"sample_ID": i, field: t} for i, t in (("a", "1"), ("a", "2"), ("b", None), ("z", "3"), ("c", 4))]
    path = jsonl(tmp_path / "r.jsonl", *rows, {"sample_ID": "c", "text": "x"}, {field: "x"}, "{")
    shape = f'must be {{"sample_ID": text, "{field}": text}} and nothing else'
    assert message(read, path, RECORDS).split("; ") == [
        f"{path}: line 2 ('a'): sample_ID: a second {field} for this record",
        f"{path}: line 3 ('b'): {field}: must be a text, not null",
        f"{path}: line 4 ('z'): sample_ID: not a record of the benchmark",
        f"{path}: line 5 ('c'): {field}: must be a text, not a number",
        f"{path}: line 6: {shape}",
        f"{path}: line 7: {shape}",
        f"{path}: line 8, column 2: broken JSON (Expecting property name enclosed in double quotes)",
    ]
    path = jsonl(tmp_path / "s.jsonl", rows[0])
    assert read(path, RECORDS[:1], RECORDS) == {"a": "1"}
    assert message(read, path, RECORDS[1:2], RECORDS) == f"{path}: no {field} for record 'b'"
    assert message(read, path, RECORDS) == f"{path}: no {field} for record 'b'; {path}: no {field} for record 'c'"
    path.write_text("")
    assert message(read, path, RECORDS) == f"{path}: is empty"


def test_a_policy_may_say_nothing_and_a_user_be_nobody(tmp_path):
    path = jsonl(tmp_path / "r.jsonl", *({"sample_ID": i, "reply": t} for i, t in (("a", ""), ("b", " \n"), ("c", "Ho."))))
    assert read_replies(path, RECORDS) == {"a": "", "b": " \n", "c": "Ho."}
    path = jsonl(tmp_path / "s.jsonl", *({"sample_ID": i, "reasoning": t} for i, t in (("a", ""), ("b", "b"), ("c", "c"))))
    assert message(read_reasoning, path, RECORDS) == f"{path}: line 1 ('a'): reasoning: empty"
    path = jsonl(tmp_path / "b.jsonl", row("a", user_persona=""), row("b"))
    assert [record.user_persona for record in read_benchmark(path).test["IDTest"]] == ["", "Ana, 30, a baker."]


def test_the_packages_reasoning_is_read_for_some_of_its_records():
    train = read_benchmark("package:rpgbench_compact").train
    found = read_reasoning("package:rpgbench_compact", train[:3])
    assert list(found) == ["id-train-1", "id-train-2", "id-train-3"]
    assert all(text.startswith("```\n[Core Features") for text in found.values())


def test_faults_of_the_packages_reasoning():
    other = "package:other: no such reasoning in this package: use package:rpgbench_compact or a file"
    assert message(read_reasoning, "package:other", RECORDS) == other
    assert message(read_reasoning, "package:rpgbench_compact", RECORDS).count("no reasoning for record") == 3


def test_reading_changes_nothing_it_was_given(tmp_path):
    rows = [row("a", lineage="l"), row("b")]
    before = copy.deepcopy(rows)
    benchmark = read_benchmark(jsonl(tmp_path / "b.jsonl", *rows))
    assert rows == before
    assert [r.lineage for r in benchmark.test["IDTest"]] == ["l", "b"]
    assert dataclasses.asdict(benchmark.test["IDTest"][0])["agent_character"] == before[0]["agent_character"]
