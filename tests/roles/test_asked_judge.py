"""A judge behind an endpoint: what its answers mean, and what those that mean nothing become."""

import numpy as np
import pytest

from remid_jax.dialogues.judge_prompts import ContextTexts, JudgePrompts
from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Recorded, Unanswered
from remid_jax.errors import UserError
from remid_jax.roles.asked_judge import AskedJudge
from remid_jax.roles.ratings import Judged
from remid_jax.scoring.store import Store

TEXTS = ContextTexts("Mona, a nurse.", "name: Ada", "User: Tea?")


def silent(done, total):
    """Reports nothing."""


def judge(answer):
    whole = JudgePrompts.load()
    prompts = JudgePrompts(whole.templates, {"continuity": "goes on"}, whole.fingerprint)
    backend = Canned(answer)
    return AskedJudge(Recorded("endpoint:it", backend, Store(":memory:"), Ledger(None, None, None), 2), prompts, 16), backend


@pytest.mark.parametrize(
    ("said", "rating"),
    [
        ("7", 7), ("10", 10), ("Rating: 8/10.", 8), ("<think>Perhaps 3.</think>\n9", 9), ("**6**\nSince 2 points lack.", 6),
        ("From 1 to 10 I give 8 out of 10.", 8), ("I give it 6, since 2 points lack.", None), ("11", None), ("7.5", None),
        ("Good.", None), ("<think>8", None), ("-3", None), ("100", None),
    ],
)  # fmt: skip
def test_a_rating_is_the_whole_number_that_it_says(said, rating):
    found, _ = judge(lambda chat, draw: said if "Answer with the number" in chat.messages[-1]["content"] else "5")
    ratings = found.rated([Judged("a", TEXTS, ("With milk.",))], silent)
    np.testing.assert_array_equal(ratings, [[[np.nan if rating is None else rating, 5]]])


def test_a_preference_is_of_the_reply_wherever_it_is_shown():
    def answer(chat, draw):
        asked = chat.messages[-1]["content"]
        if "[Reply A]\nSilent." in asked or "[Reply B]\nSilent." in asked:
            raise Unanswered("status 500")
        return (
            "Reply A is better."
            if "[Reply A]\nGood." in asked
            else "**B**"
            if "[Reply B]\nGood." in asked
            else "Neither A nor B."
        )

    found, backend = judge(answer)
    asked = [
        Judged("a", TEXTS, replies) for replies in (("Good.", "Bad."), ("Bad.", "Good."), ("Bad.", "Ill."), ("Bad.", "Silent."))
    ]
    expected = [[[1, 1]], [[0, 0]], [[np.nan, np.nan]], [[np.nan, np.nan]]]
    np.testing.assert_array_equal(found.preferred(asked, silent), expected)
    paid = sum(backend.asked.values())
    np.testing.assert_array_equal(found.preferred(asked[:3], silent), expected[:3])
    assert sum(backend.asked.values()) == paid == 6  # that of equal questions once, and nothing twice


def test_a_judge_that_never_answers_as_asked_is_refused():
    found, _ = judge(lambda chat, draw: "As you like.")
    with pytest.raises(UserError) as error:
        found.rated([Judged("a", TEXTS, ("With milk.",))], silent)
    assert str(error.value) == (
        "endpoint:it: none of its 2 answers holds a number from 1 to 10: raise config.max_new, change the prompts, or ask "
        "another model"
    )


def test_questions_asked_in_batches_are_answered_as_at_once(monkeypatch):
    def answer(chat, draw):
        return str(1 + len(chat.messages[-1]["content"]) % 10)

    asked = [Judged(str(n), TEXTS, ("With milk" * n,)) for n in range(7)]
    expected = judge(answer)[0].rated(asked, silent)
    monkeypatch.setattr("remid_jax.roles.asked_judge.AT_ONCE", 4)
    told = []
    batched = judge(answer)[0]
    found = batched.rated(asked, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 3
    assert told[-1] == (14, 14)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    more = [*asked, Judged("7", TEXTS, ("With milk" * 7,))]
    batched.rated(more, lambda done, total: told.append((done, total)))  # goes on from what is there
    assert told[-1] == (2, 2)
