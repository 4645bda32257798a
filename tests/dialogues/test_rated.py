"""Replies with scores: what a file means, and each fault of one in its own words."""

import json

import pytest

from remid_jax.dialogues.rated import RatedReply, read_rated
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError

MESSAGES = [{"role": "system", "content": "You are Ada."}, {"role": "user", "content": "Hello?"}]
ROW = {"context_id": "a", "messages": MESSAGES, "system": "m1", "reply": "Good day.", "scores": {"fit": 4}}
OTHER = {
    **ROW,
    "context_id": "b",
    "messages": [{"role": "user", "content": "Who?"}],
    "lineage": "one talk",
    "scores": {"fit": 1.5},
}


def written(folder, *rows):
    path = folder / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(folder, *rows, **settings):
    with pytest.raises(UserError) as error:
        read_rated(written(folder, *rows), **settings)
    return str(error.value).removeprefix(f"{folder / 'r.jsonl'}: ")


def test_a_context_is_told_once_and_answered_often(tmp_path):
    again = {key: value for key, value in ROW.items() if key != "messages"} | {
        "system": "m2",
        "reply": "",
        "scores": {"tone": 2},
    }
    found = read_rated(written(tmp_path, ROW, OTHER, again, {**ROW, "reply": "Good", "finished": False}))
    ada = Record("a", "", {"description": "You are Ada."}, (Turn("user", "Hello?"),), "", "all")
    bare = Record("b", "", {"name": "Agent"}, (Turn("user", "Who?"),), "", "all", "one talk")
    assert found == [
        RatedReply(ada, "m1", "Good day.", {"fit": 4.0}),
        RatedReply(bare, "m1", "Good day.", {"fit": 1.5}),
        RatedReply(ada, "m2", "", {"tone": 2.0}),
        RatedReply(ada, "m1", "Good", {"fit": 4.0}, finished=False),
    ]
    assert read_rated([of.to_json() for of in found]) == found


def test_rpgbench_keys_hold_a_context_too():
    row = {
        "context_id": 7, "user_persona": "Mona, a nurse.", "agent_character": {"name": "Ada"}, "system": "m", "reply": "Yes.",
        "dialogue_context": [{"user_query": "Tea?"}], "agent_golden_response": "Please.", "subset_tag": "x",
        "scores": {"fit": 3},
    }  # fmt: skip
    first = read_rated([row, OTHER])[0].record
    assert (first.id, first.user_persona, first.character_text, first.dialogue_text) == (
        "7", "Mona, a nurse.", "name: Ada", "User: Tea?",
    )  # fmt: skip
    assert (first.golden, first.category) == ("Please.", "x")
    assert read_rated([{**OTHER, "category": "y"}, row])[0].record.category == "y"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": {"fit": "good"}}, "line 1 ('a'): scores.fit: must be a number, not a text"),
        ({"scores": {"fit": True}}, "line 1 ('a'): scores.fit: must be a number, not a truth value"),
        ({"scores": {"fit": None}}, "line 1 ('a'): scores.fit: must be a number, not null"),
        ({"scores": {}}, 'line 1 (\'a\'): scores: empty: give at least one, {"scores": {"fit": 4}}'),
        ({"scores": 4}, "line 1 ('a'): scores: must be an object of numbers, not a number"),
        ({"reply": None}, "line 1 ('a'): reply: missing"),
        ({"system": " "}, "line 1 ('a'): system: empty"),
        ({"finished": "no"}, "line 1 ('a'): finished: must be true or false, not a text"),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "Hi."}]},
         "line 1 ('a'): messages: ends with the agent: the reply stands in `reply`, so end with the user"),
        ({"messages": []}, "line 1 ('a'): messages: empty"),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(tmp_path, changes, said):
    assert refusal(tmp_path, {**ROW, **changes}, OTHER) == said


def test_what_rows_lack_together_is_named(tmp_path):
    bare = {key: value for key, value in ROW.items() if key not in ("messages", "scores")}
    assert refusal(tmp_path, bare, OTHER) == (
        'line 1 (\'a\'): scores: missing: give at least one, {"scores": {"fit": 4}}; '
        f"{tmp_path / 'r.jsonl'}: line 1 ('a'): holds no context, and none of this id stands before: give one of messages, "
        "conversations, dialogue_context"
    )
    assert refusal(tmp_path, ROW, {**ROW, "system": "m2"}) == (
        "all replies are to the context 'a': replies to at least two contexts are needed, since they are compared"
    )
    assert refusal(tmp_path, ROW, OTHER, {**ROW, "scores": {"fit": 2}}) == (
        f"line 3 ('a'): reply: 'm1' already gave it to this context at {tmp_path / 'r.jsonl'}: line 1: keep one"
    )
    assert refusal(tmp_path, ROW, {**ROW, "messages": OTHER["messages"], "system": "m2"}) == (
        f"line 2 ('a'): context_id: was another context at {tmp_path / 'r.jsonl'}: line 1: give each an id of its own"
    )
    assert refusal(tmp_path, "reply", OTHER) == "line 1: a reply must be an object, not a text"


def test_replies_for_a_judge_need_no_scores(tmp_path):
    bare = {key: value for key, value in ROW.items() if key != "scores"}
    assert [of.scores for of in read_rated(written(tmp_path, bare, OTHER), scored=False)] == [{}, {"fit": 1.5}]
