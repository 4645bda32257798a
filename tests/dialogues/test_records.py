import dataclasses
import hashlib
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal import refusal
from shared_data import load_shared_records

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Benchmark, Record, Turn, write_jsonl

RECORD = Record("a", "Ana, 30", {"name": "Bo"}, (Turn("user", "Hi?"),), "Ho.", "IDTest")


def test_a_record_without_lineage_is_its_own():
    assert RECORD.lineage == "a"
    assert dataclasses.replace(RECORD, lineage="b").lineage == "b"


def test_a_character_is_rendered_in_its_own_order_and_depth():
    character = {
        "z": "last first", "a": ["one", "two", ""], "nested": {"k": {"deep": "x"}, "n": 3}, "empty": "", "none": None,
        "gone": [], "yes": True, "half": 0.5,
    }  # fmt: skip
    text = dataclasses.replace(RECORD, agent_character=character).character_text
    assert text == "z: last first\na: one; two\nnested: k: deep: x; n: 3\nyes: true\nhalf: 0.5"


def test_a_dialogue_is_rendered_as_a_transcript():
    dialogue = (Turn("user", "Hi?"), Turn("agent", "Ho."), Turn("user", "Why?"))
    assert dataclasses.replace(RECORD, dialogue=dialogue).dialogue_text == "User: Hi?\nAgent: Ho.\nUser: Why?"


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def records(draw, index):
    turns = draw(st.lists(text, min_size=1, max_size=5))
    speakers = ("user", "agent")
    return Record(
        f"{index}-{draw(text)}",
        draw(text),
        {"name": draw(text)} | draw(st.dictionaries(text, json_value, max_size=3)),
        tuple(Turn(speakers[(len(turns) - 1 - i) % 2], t) for i, t in enumerate(turns)),
        draw(text),
        draw(st.sampled_from(["IDTest", "IDTrain"])) if index > 1 else "IDTest",
        draw(text),
    )


@given(st.data())
def test_what_is_written_is_read_back(tmp_path_factory, data):
    written = [data.draw(records(i)) for i in range(data.draw(st.integers(2, 4)))]
    path = tmp_path_factory.mktemp("round") / "b.jsonl"
    write_jsonl(path, written)
    benchmark = read_benchmark(path)
    assert benchmark.train == [r for r in written if r.category == "IDTrain"]
    assert benchmark.test == {"IDTest": [r for r in written if r.category == "IDTest"]}
    orders = [list(r.agent_character) for r in (*benchmark.test["IDTest"], *benchmark.train)]
    assert orders == [list(r.agent_character) for r in sorted(written, key=lambda r: r.category)]


def test_the_fingerprint_changes_with_any_field_and_only_then():
    base = Benchmark([], {"IDTest": [RECORD]}).fingerprint
    assert base == Benchmark([], {"IDTest": [dataclasses.replace(RECORD)]}).fingerprint
    changes = {
        "id": "x", "user_persona": "x", "agent_character": {"x": "Bo"}, "dialogue": (Turn("user", "x"),), "golden": "x",
        "category": "german", "lineage": "x",
    }  # fmt: skip
    others = {Benchmark([], {"IDTest": [dataclasses.replace(RECORD, **{k: v})]}).fingerprint for k, v in changes.items()}
    assert len(others | {base}) == len(changes) + 1


def test_the_fingerprint_is_the_sha256_of_the_lines_of_the_file(tmp_path):
    line = (
        '{"sample_ID": "a", "lineage": "a", "subset_tag": "IDTest", "user_persona": "Ana, 30", '
        '"agent_character": {"name": "Bo"}, "dialogue_context": [{"user_query": "Hi?"}], "agent_golden_response": "Ho."}\n'
    )
    write_jsonl(tmp_path / "b.jsonl", [RECORD])
    assert (tmp_path / "b.jsonl").read_text() == line
    assert Benchmark([], {"IDTest": [RECORD]}).fingerprint == hashlib.sha256(line.encode()).hexdigest()


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path):
    path, (soft, hard) = tmp_path / "b.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_jsonl(path, [RECORD])
    old = path.read_bytes()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        said = refusal(write_jsonl, path, [dataclasses.replace(RECORD, id=str(n)) for n in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == f"{path}: the disk is full (File too large): make room and run the same command again"
    assert {of.name: of.read_bytes() for of in tmp_path.iterdir()} == {"b.jsonl": old}


@pytest.mark.parametrize(("lang", "count"), [("en", 420), ("ja", 120)])
def test_real_dialogues_survive_a_round_trip(tmp_path, lang, count):
    found = load_shared_records(lang)
    assert len(found) == count
    found = [dataclasses.replace(r, category="IDTest") for r in found]
    write_jsonl(tmp_path / "shared.jsonl", found)
    assert read_benchmark(tmp_path / "shared.jsonl").test == {"IDTest": found}


def test_translations_of_a_real_dialogue_share_its_lineage():
    chinese = {r.lineage for r in load_shared_records("zh")}
    assert len(chinese & {r.lineage for r in load_shared_records("fr")}) == 62
