import json

import pytest
from refusal import refusal

from remid_jax.dialogues.readers.mapping import read_mapping
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record, Turn

LOG = {"path": "chat.log", "speaker": "who", "text": "said", "user": ["guest", "visitor"], "agent": ["host"]}
FIELDS = {
    "sample_ID": "n",
    "subset_tag": "part",
    "user_persona": "guest.about",
    "agent_character": "host",
    "dialogue_context": LOG,
}


def row(n, *texts, part="IDTest", about=("I sail.", "I am 30."), host="A miller."):
    log = [{"who": ("guest", "host")[i % 2], "said": text} for i, text in enumerate(texts)]
    return {"n": n, "part": part, "guest": {"about": about}, "host": host, "chat": {"log": log}}


def test_a_dialogue_with_words_of_its_own():
    rows = [row(1, "Flour?", "Wind."), row(2, "Flour?", "Wind.", "When?", "Soon.", about=None, host={"name": "Bo"})]
    rows[1]["chat"]["log"][2]["who"] = "visitor"
    assert read_benchmark(rows, mapping=FIELDS).test["IDTest"] == [
        Record("1", "I sail. I am 30.", {"description": "A miller."}, (Turn("user", "Flour?"),), "Wind.", "IDTest"),
        Record(
            "2", "", {"name": "Bo"}, (Turn("user", "Flour?"), Turn("agent", "Wind."), Turn("user", "When?")), "Soon.", "IDTest"
        ),
    ]  # fmt: skip


def test_a_golden_reply_of_its_own_lists_and_keys_with_dots():
    rows = [
        {
            "a.b": f"{n}", "bios": [["x"], ["tall", "dry"]], "talk": [{"user_query": "Flour?"}],
            "best": {"replies": ["No.", "Yes."]},
        }
        for n in (1, 2)
    ]  # fmt: skip
    fields = {
        "sample_ID": "a.b", "agent_character": {"traits": "bios.1", "mood": "nowhere"}, "dialogue_context": "talk",
        "agent_golden_response": "best.replies.1",
    }  # fmt: skip
    unseen = "records: mapping: agent_character.mood: no row has 'nowhere'"
    assert refusal(read_benchmark, rows, mapping=fields) == unseen
    rows[0]["nowhere"] = None
    assert read_benchmark(rows, mapping=fields).test["all"] == [
        Record(n, "", {"traits": ["tall", "dry"]}, (Turn("user", "Flour?"),), "Yes.", "all") for n in "12"
    ]


@pytest.mark.parametrize("name", ["messages", "conversations"])
def test_a_chat_at_another_place(tmp_path, name):
    speaker, text = ("role", "content") if name == "messages" else ("from", "value")
    messages = [{speaker: "user", text: "Flour?"}, {speaker: "assistant", text: "Wind."}]
    rows = [{"uid": i, "data": {"turns": messages, "system": "A miller."}} for i in (1, 2)]
    fields = {"sample_ID": "uid", name: "data.turns", "agent_character": {"description": "data.system"}}
    (tmp_path / "m.json").write_text(json.dumps(fields))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    assert read_benchmark(tmp_path / "b.json", mapping=tmp_path / "m.json").test["all"] == [
        Record(n, "", {"description": "A miller."}, (Turn("user", "Flour?"),), "Wind.", "all") for n in "12"
    ]


def test_five_planted_faults_of_rows():
    rows = [
        row(1, "Flour?", "Wind."),
        row(2, "Flour?"),  # no reply
        row(3, "Flour?", 7),  # a turn that is no text
        row(4, "Flour?", "Wind.", about=3),  # a persona that is no text
        row(1, "Flour?", "Wind."),  # a second 1
        row(6, "Flour?", "Wind."),
        row(7, "Flour?", "Wind.", host=None),  # no character
    ]
    rows[5]["chat"]["log"][0]["who"] = "gust"
    rows += [row(8) | {"chat": {"log": log}} for log in ({"x": 1}, 3, ["Flour?"], [])]
    for n, faulty in enumerate(rows[7:]):
        faulty["n"] = 8 + n
    character = "missing: add it (a chat has it as system message), or name a character card for all rows"
    assert refusal(read_benchmark, rows, mapping=FIELDS).split("; ") == [
        "records[1] (2): agent_golden_response: missing",
        "records[2] (3): agent_golden_response: must be a text, not a number",
        "records[3] (4): guest.about: must be a text, not a number",
        "records[4] (1): sample_ID: already used at records[0]",
        "records[5] (6): chat.log[0].who: must be one of guest, visitor, host, not 'gust'",
        f"records[6] (7): agent_character: {character}",
        "records[7] (8): agent_golden_response: missing",
        "records[7] (8): chat.log: must be a list, not an object",
        "records[8] (9): agent_golden_response: missing",
        "records[8] (9): chat.log: must be a list, not a number",
        "records[9] (10): chat.log[0].who: must be one of guest, visitor, host, not a text",
        "records[10] (11): agent_golden_response: missing",
        "records[10] (11): chat.log: empty",
    ]


def test_a_path_that_no_row_has_is_a_slip():
    fields = FIELDS | {"lineage": "gest.about", "user_name": "name"}
    assert refusal(read_benchmark, [row(1, "Flour?", "Wind."), row(2, "Flour?", "Wind.")], mapping=fields).split("; ") == [
        "records: mapping: lineage: no row has 'gest.about' (did you mean 'guest.about'?)",
        "records: mapping: user_name: no row has 'name'",
    ]


def test_faults_of_a_mapping(tmp_path):
    path = tmp_path / "m.json"

    def fault(value):
        path.write_text(json.dumps(value))
        return refusal(read_mapping, path).replace(f"{path}: ", "").split("; ")

    assert fault({"sampleID": "n", "lineage": 3, "agent_character": ["a"], "user_persona": ["b"], "dialogue_context": 5}) == [
        "lineage: must be a path, or an object of a path for each kind of cluster",
        "user_persona: must be a text, not a list",
        "agent_character: must be a path, or an object of a path for each key of the character",
        "sampleID: unknown key (did you mean 'sample_ID'?)",
    ]
    assert fault({"dialogue_context": {"path": "log", "speaker": 1, "txt": "said", "user": "guest"}}) == [
        "dialogue_context.speaker: must be a text, not a number",
        "dialogue_context.text: missing",
        "dialogue_context.user: must be a list, not a text",
        "dialogue_context.agent: missing",
        "dialogue_context.txt: unknown key (did you mean 'text'?)",
    ]
    assert fault({"dialogue_context": 5}) == [
        "dialogue_context: must be a path, or an object of path, speaker, text, user and agent"
    ]
    talks = "must say where one of dialogue_context, messages, conversations stands, not"
    assert fault({"sample_ID": "n"}) == [f"{talks} none"]
    assert fault({"messages": "a", "conversations": "b"}) == [f"{talks} messages and conversations"]
    assert fault({"messages": "a", "agent_character": {}})[0].startswith("agent_character: must be a path")
    assert refusal(read_mapping, {"mesages": "a"}) == "mapping: mesages: unknown key (did you mean 'messages'?)"
