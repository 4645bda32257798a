import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal import refusal

from remid_jax.dialogues.names import wants_character
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record, Turn

ROLES = {"messages": ("role", "content", "user", "assistant"), "conversations": ("from", "value", "human", "gpt")}


def row(key, identity, *texts, system="A miller.", **changes):
    """A chat whose user speaks first, unless a text begins with "<" (then the speaker's name stands before ">")."""
    speaker, text, user, agent = ROLES[key]
    messages = [{speaker: "system", text: system}] if system is not None else []
    messages += [{speaker: (user, agent)[n % 2], text: said} for n, said in enumerate(texts)]
    return {"id": identity, key: messages} | changes


def chats(tmp_path, rows, name="chats.jsonl"):
    path = tmp_path / name
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.json"])
@pytest.mark.parametrize("key", ROLES)
def test_a_chat_becomes_a_record(tmp_path, key, name):
    rows = [
        row(key, 7, "Flour?", "Wind.", "When?", "Soon.", tools=[], user_persona="Ana."),
        row(key, None, "Flour?", "No.", lineage="l", subset_tag="IDTest", sample_ID="own"),
    ]
    del rows[1]["id"]
    rows[0]["category"] = "IDTest"
    miller = {"description": "A miller."}
    expected = [
        Record("7", "Ana.", miller, (Turn("user", "Flour?"), Turn("agent", "Wind."), Turn("user", "When?")), "Soon.", "IDTest"),
        Record("own", "", miller, (Turn("user", "Flour?"),), "No.", "IDTest", "l"),
    ]
    path = chats(tmp_path, rows, name)
    assert read_benchmark(path).test == {"IDTest": expected}
    assert read_benchmark(path, format="messages" if key == "messages" else "sharegpt").test == {"IDTest": expected}
    assert read_benchmark(rows).test == {"IDTest": expected}


def test_a_greeting_of_the_agent_stays_and_parts_are_joined():
    parts = [{"type": "text", "text": "Fl"}, {"type": "text", "text": "our?"}]
    messages = [
        {"role": "developer", "content": "A miller."},
        {"role": "assistant", "content": "Hm."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Wind."},
    ]
    records = read_benchmark([{"messages": messages}, {"messages": messages}]).test["all"]
    assert records == [
        Record(n, "", {"description": "A miller."}, (Turn("agent", "Hm."), Turn("user", "Flour?")), "Wind.", "all")
        for n in "12"
    ]


@pytest.mark.parametrize("key", ROLES)
def test_a_name_and_more_beside_the_system_message(key):
    rows = [
        row(key, n, "Hi {{char}}?", "Ho.", system="{{char}} mills.", agent_character={"name": "Bo", "age": 40}) for n in (1, 2)
    ]
    bo = {"name": "Bo", "age": 40, "description": "Bo mills."}
    assert read_benchmark(rows).test["all"] == [Record(n, "", bo, (Turn("user", "Hi Bo?"),), "Ho.", "all") for n in "12"]


@pytest.mark.parametrize("key", ROLES)
def test_five_planted_faults(tmp_path, key):
    text = ROLES[key][1]
    rows = [
        row(key, "a", "Flour?", "Wind."),
        row(key, "b", "Flour?", "Wind.", "When?"),  # no golden reply
        row(key, "c", "Flour?", " "),  # an empty turn
        row(key, "d", "Flour?", "Wind.", system=None),  # no character
        row(key, "a", "Flour?", "Wind."),  # a second "a"
        row(key, "f", "Flour?", "Wind.", catgory="x"),  # a misspelt key
    ]
    path = chats(tmp_path, rows)
    hint = "add it (a chat has it as system message), or name a character card for all rows"
    assert refusal(read_benchmark, path).split("; ") == [
        f"{path}: line 2 ('b'): {key}: ends with the user: the last message must be the golden reply",
        f"{path}: line 3 ('c'): {key}[2].{text}: empty",
        f"{path}: line 4 ('d'): agent_character: missing: {hint}",
        f"{path}: line 5 ('a'): id: already used at {path}: line 1",
        f"{path}: line 6 ('f'): catgory: unknown key (did you mean 'category'?)",
    ]


@pytest.mark.parametrize("key", ROLES)
def test_messages_of_one_speaker_in_a_row_are_one_turn_of_several_lines(key):
    speaker, text, user, agent = ROLES[key]
    said = [("system", "A miller."), (user, "Flour?"), (user, "Or oats?"), (user, "Please."), (agent, "Wind."), (user, "Oh."),
            (agent, "Yes."), (agent, "No.")]  # fmt: skip
    whole = {"id": "a", key: [{speaker: who, text: words} for who, words in said]}
    [record, _] = read_benchmark([whole, row(key, "b", "Flour?", "Wind.")]).test["all"]
    assert record.dialogue == (Turn("user", "Flour?\nOr oats?\nPlease."), Turn("agent", "Wind."), Turn("user", "Oh."))
    assert record.golden == "Yes.\nNo."
    replies = read_benchmark([whole, row(key, "b", "Flour?", "Wind.")], every_reply=True).test["all"]
    assert [record.golden for record in replies] == ["Wind.", "Yes.\nNo.", "Wind."]


@pytest.mark.parametrize("key", ROLES)
def test_faults_of_turns(key):
    speaker, text, user, agent = ROLES[key]

    def fault(*messages, **changes):
        whole = [{"id": "a", key: list(messages)} | changes, row(key, "b", "Flour?", "Wind.")]
        return refusal(read_benchmark, whole, character=None).removeprefix("records[0] ('a'): ")

    system, ask, answer = ({speaker: who, text: "x"} for who in ("system", user, agent))
    roles = "system, developer, user, assistant" if key == "messages" else "system, human, user, gpt, assistant, chatgpt"
    shape = f'must be {{"{speaker}": one of {roles}, "{text}": text}}'
    assert fault(system, ask, {speaker: "tool", text: "x"}, answer) == f"{key}[2]: {shape}"
    assert fault(system, ask, "x") == f"{key}[2]: {shape}"
    assert fault(system, ask, {speaker: agent}) == f"{key}[2]: {shape}"
    assert fault(system, ask, system, answer) == f"{key}[2]: a system message must be the first, and the only one"
    assert fault(system, answer) == f"{key}: the user says nothing"
    assert fault(system, ask, {speaker: agent, text: None}) == f"{key}[2].{text}: must be a text, not null"
    picture = {speaker: user, text: [{"type": "image_url", "image_url": "x"}]}
    assert fault(system, picture, answer) == f"{key}[1].{text}: must be a text, not a list"
    kept = f"agent_character: describes the character, as the system message of {key} does: keep one of them"
    for character in ({"name": "Bo", "description": "y"}, "bo.png", 3):
        assert fault(system, ask, answer, agent_character=character) == kept
    assert fault(system, ask, answer, category=["a"]) == "category: must be a text, not a list"
    assert refusal(read_benchmark, [{"id": "a", key: "x"}]).startswith(f"records[0] ('a'): {key}: must be a list, not a text")
    assert refusal(read_benchmark, [{"id": "a", key: []}]).startswith(f"records[0] ('a'): {key}: empty")
    both = [row(key, "a", "Flour?", "Wind."), {"id": "b"}]
    assert f"records[1] ('b'): {key}: missing" in refusal(read_benchmark, both)


def test_the_format_is_the_first_rows_unless_named():
    rows = [row("messages", "a", "Flour?", "Wind."), row("conversations", "b", "Flour?", "Wind.")]
    assert refusal(read_benchmark, rows).startswith("records[1] ('b'): messages: missing")
    assert refusal(read_benchmark, rows, format="sharegpt").startswith("records[0] ('a'): conversations: missing")
    assert refusal(read_benchmark, rows, format="sharegtp") == (
        "format='sharegtp': choose one of auto, records, messages, sharegpt (did you mean 'sharegpt'?)"
    )
    assert refusal(read_benchmark, [{"question": "x"}]) == (
        "records[0]: is in no known format, it has none of the keys sample_ID, user_persona, agent_character, "
        "dialogue_context, agent_golden_response, subset_tag, messages, conversations: "
        "say by a mapping where they stand (docs/formats.md)"
    )


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda t: t.strip() and not wants_character(t) and "{{" not in t and "<" not in t
)


@st.composite
def records(draw, index):
    turns = draw(st.lists(text, min_size=1, max_size=5))
    return Record(
        f"{index}-{draw(text)}",
        draw(text | st.just("")),
        {"description": draw(text)},
        tuple(Turn(("user", "agent")[(len(turns) - 1 - i) % 2], t) for i, t in enumerate(turns)),
        draw(text),
        "IDTest",
        draw(text),
    )


def as_chat(record, key):
    speaker, said, user, agent = ROLES[key]
    turns = [*record.dialogue, Turn("agent", record.golden)]
    return {
        "id": record.id, "lineage": record.lineage, "category": record.category, "user_persona": record.user_persona,
        key: [{speaker: "system", said: record.agent_character["description"]}]
        + [{speaker: user if turn.speaker == "user" else agent, said: turn.text} for turn in turns],
    }  # fmt: skip


@pytest.mark.parametrize("key", ROLES)
@given(data=st.data())
def test_records_written_as_chats_are_read_back(tmp_path_factory, key, data):
    written = [data.draw(records(i)) for i in range(data.draw(st.integers(2, 4)))]
    path = chats(tmp_path_factory.mktemp("round"), [as_chat(record, key) for record in written])
    assert read_benchmark(path).test == {"IDTest": written}
    cut = read_benchmark(path, every_reply=True).test["IDTest"]
    replies = [
        (record, i)
        for record in written
        for i in range(len(record.dialogue) + 1)
        if i and [*record.dialogue, Turn("agent", "")][i].speaker == "agent"
    ]
    assert [(r.lineage, r.dialogue) for r in cut] == [(record.lineage, record.dialogue[:i]) for record, i in replies]
    assert [r.golden for r in cut] == [[*(t.text for t in record.dialogue), record.golden][i] for record, i in replies]
    numbers = [f"{r.id} turn {n}" for r in written for n in range(1, 1 + sum(record is r for record, _ in replies))]
    assert [r.id for r in cut] == numbers
