"""`experiments.edit_words`: of what a model proposes the best that fits becomes a line of the dial's file, paid for once."""

import json

import pytest
from faulty_server import FaultyServer

from remid_jax.dialogues.dials.edits import read_edits
from remid_jax.dialogues.reading import read_benchmark

SOURCE = "package:rpgbench_compact/eight"
ELSE = "I will tell you something else entirely, my dear friend."


@pytest.fixture(scope="module")
def records():
    return read_benchmark(SOURCE).test["IDTest"]


class Editor(FaultyServer):
    """Changes the first word of the user's last message; the first record is answered in prose at first, the second in German,
    the third never otherwise than with the answer that it has."""

    def __init__(self, records):
        failing = records[3].dialogue_text
        super().__init__(faults=lambda number, content: 500 if number == 0 and failing in content else None)
        self.by_dialogue = {record.dialogue_text: number for number, record in enumerate(records)}
        self.records = records

    def text_of(self, body):
        content = body["messages"][-1]["content"]
        [number] = [number for text, number in self.by_dialogue.items() if text in content]
        if body["seed"] == 0 and number == 0:
            return "I would rather not."
        answers = [self.records[number].golden + " Really?", ELSE]
        if body["seed"] == 0 and number == 1:
            answers = ["Ich erzähle dir lieber etwas ganz anderes, mein lieber Freund."]
        if number == 2:
            answers = [self.records[number].golden]
        word = self.records[number].dialogue[-1].text.split()[0]
        edits = [{"old": word, "new": "Zebras", "golden": golden} for golden in answers]
        return "Here they are:\n" + json.dumps({"edits": [*edits, {"old": "no such words", "new": "x", "golden": ELSE}]})


@pytest.fixture
def server(records):
    server = Editor(records)
    yield server
    server.close()


@pytest.fixture
def changes(server, tmp_path):
    description = {"base_url": server.base_url, "model": "m-1", "timeout": 5, "retries": 4}
    (tmp_path / "endpoints.json").write_text(json.dumps({"it": description}))
    return {
        "model": "endpoint:it", "endpoints": str(tmp_path / "endpoints.json"), "benchmark.source": SOURCE, "tries": 2,
    }  # fmt: skip


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_holds_the_edit_that_changes_most_and_nothing_is_paid_for_twice(call, server, changes, records, capsys):
    folder = call("edit_words", changes)
    edited = [record for number, record in enumerate(records) if number != 2]
    rows = lines(folder / "edits.jsonl")
    assert [row["sample_ID"] for row in rows] == [record.id for record in edited]
    for row, record in zip(rows, edited, strict=True):
        word = record.dialogue[-1].text.split()[0]
        assert row["agent_golden_response"] == ELSE
        assert row["dialogue_context"][-1] == {"user_query": record.dialogue[-1].text.replace(word, "Zebras", 1)}
        assert row["dialogue_context"][:-1] == record.to_json()["dialogue_context"][:-1]
    [failure] = lines(folder / "failures.jsonl")
    same = f"golden reply changed too little: 100% alike that of '{records[2].id}', must be below 70%"
    why = f"{same}; the words to change stand in no message of the user"
    assert (failure["item"], failure["why"]) == (records[2].id, [why, why])
    said = capsys.readouterr()
    assert f"{len(edited)} of {len(records)} records of IDTest edited; 3 answers asked for again\n" in said.out

    read = read_edits(str(folder / "edits.jsonl"), records)
    assert (list(read.records), read.golden) == ([record.id for record in edited], True)

    assert set(server.paid.values()) == {1}
    assert len(server.paid) == len(records) + 3
    before, tries = (folder / "edits.jsonl").read_bytes(), server.tries.total()
    call("edit_words", changes)
    assert (folder / "edits.jsonl").read_bytes() == before
    assert server.tries.total() == tries


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"model": None}, "config.model is not set: name who writes, --config.model=endpoint:NAME or a model"),
        ({"benchmark.category": "Ulm"}, "config.benchmark.category='Ulm': choose one of IDTest, "),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(refused, changes, more, line):
    assert refused("edit_words", changes | more).startswith(line)
    assert "\n" not in line


def test_where_no_answer_fits_the_failures_say_why(refused, server, changes, monkeypatch, tmp_path):
    monkeypatch.setattr(server, "text_of", lambda body: "No.")
    message = refused("edit_words", changes | {"tries": 1})
    assert message == f"endpoint:it: none of 8 answers fits: {tmp_path / 'work' / 'failures.jsonl'} says why"
    assert {tuple(failure["why"]) for failure in lines(tmp_path / "work" / "failures.jsonl")} == {("holds no JSON object",)}
