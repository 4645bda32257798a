"""Ratings and preferences of a judge, against its plain likelihoods."""

import numpy as np
import pytest
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.dialogues.judge_prompts import WORDINGS, ContextTexts, JudgePrompts
from remid_jax.parallel import Devices
from remid_jax.roles.ratings import Judged, LocalJudge
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store

TEXTS = ContextTexts("Mona, a nurse.", "name: Ada", "User: Tea?")


def silent(done, total):
    """Reports nothing."""


@pytest.fixture(scope="module")
def engine():
    return ScoringEngine(tiny_chat_model(), Devices(), Store(":memory:"), 1024, 1024)


@pytest.fixture(scope="module")
def prompts():
    whole = JudgePrompts.load()
    return JudgePrompts(whole.templates, {"continuity": whole.criteria["continuity"]}, whole.fingerprint)


@pytest.fixture(scope="module")
def judge(engine, prompts):
    return LocalJudge(engine, prompts)


def chances(engine, question, answers):
    """How likely each answer with its end is after a question, among these."""
    tokenizer = engine.model.tokenizer
    messages, opening = question
    prefix = tokenizer.encode_chat(messages)
    prefix = prefix + tokenizer.encode(opening, after=prefix)
    ends = [[*tokenizer.encode(answer, after=prefix), tokenizer.end_of_turn_id] for answer in answers]
    logs = np.array([plain_logprobs(engine.model, prefix, ids).sum() for ids in ends])
    return np.exp(logs) / np.exp(logs).sum()


def test_a_rating_is_the_expected_number(judge, engine, prompts):
    asked = [Judged("a", TEXTS, ("With milk.",)), Judged("a", TEXTS, ("No.",))]
    found = judge.rated(asked, silent)
    assert found.shape == (2, 1, 2)
    assert judge.described() == {"source": "tiny", "dtype": "float32", "fingerprint": engine.model.fingerprint}
    for number, of in enumerate(asked):
        for place, wording in enumerate(WORDINGS):
            law = chances(engine, prompts.rating(TEXTS, *of.replies, "continuity", wording), [str(k) for k in range(1, 11)])
            assert found[number, 0, place] == pytest.approx(law @ np.arange(1, 11), abs=2e-3)


def test_a_preference_is_of_the_same_reply_in_both_orders(judge, engine, prompts):
    found = judge.preferred([Judged("a", TEXTS, ("With milk.", "No."))], silent)
    first = chances(engine, prompts.pairwise(TEXTS, "With milk.", "No.", "continuity"), ["A", "B"])[0]
    last = chances(engine, prompts.pairwise(TEXTS, "No.", "With milk.", "continuity"), ["A", "B"])[1]
    np.testing.assert_allclose(found, [[[first, last]]], atol=2e-3)
