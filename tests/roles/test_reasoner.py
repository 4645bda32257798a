"""A teacher behind an endpoint: what it is asked, what of its answers is kept, and when none can be used."""

from refusal import refusal

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.chat import Sampling
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Recorded, Unanswered
from remid_jax.roles.reasoner import teach_through
from remid_jax.scoring.store import Store

RECORDS = [
    Record(name, f"{name}, a baker.", {"name": "Al"}, (Turn("user", "Why?"),), f"Because {name}.", "IDTrain") for name in "abcd"
]
BLOCK = "She asks why.\n```\n[Core Features of the Golden Response]\n- a reason\n```"


def taught(answers):
    """What is taught by a teacher who answers a record as `answers` says by its name, and the chats that it was asked."""
    asked = []

    def answer(chat, draw):
        asked.append(chat)
        name = next(of.id for of in RECORDS if of.golden in chat.messages[-1]["content"])
        if isinstance(answers[name], Exception):
            raise answers[name]
        return answers[name]

    endpoint = Recorded("endpoint:it", Canned(answer), Store(":memory:"), Ledger(), 1)
    return lambda: (teach_through(RECORDS, Prompts.load(), endpoint, 24, lambda done, total: None), asked)


def test_it_is_asked_with_the_teachers_prompt_and_what_it_thinks_is_not_heard():
    found, asked = taught(dict.fromkeys("abcd", f"<think>[Core Features of the Golden Response] no</think>\n{BLOCK}"))()
    assert found == dict.fromkeys("abcd", BLOCK)
    assert [chat.messages for chat in asked] == [Prompts.load().teacher(record)[0] for record in RECORDS]
    assert {chat.sampling for chat in asked} == {Sampling(24)}


def test_records_without_core_features_are_left_out():
    thought = f"<think>{BLOCK}"  # cut before it spoke
    empty = "```\n[Core Features of the Golden Response]\n```"
    found, _ = taught({"a": "I would rather not.", "b": thought, "c": BLOCK, "d": empty})()
    assert found == {"c": BLOCK}


def test_one_that_never_gives_core_features_is_refused():
    assert refusal(taught(dict.fromkeys("abcd", "I would rather not."))) == (
        "endpoint:it: none of its 4 reasonings of at most 24 tokens holds [Core Features of the Golden Response]: raise "
        "config.teacher.max_reasoning, change teacher.md, or ask another model"
    )
    assert refusal(taught({"a": BLOCK, "b": Unanswered("it timed out"), "c": BLOCK, "d": BLOCK})) == (
        "endpoint:it: 1 of 4 replies did not come (1 x it timed out): the others are kept, run the same command again for these"
    )
