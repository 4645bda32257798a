"""Rewards that a model scores, against the plain forward pass of a tiny model."""

import numpy as np
import pytest
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.dialogues.parsing import MARKER
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.learning.rewards import Resources, make_rewards
from remid_jax.learning.rewards.pointwise_information import other_contexts
from remid_jax.learning.rollouts import Asked, Group
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.store import Store

PROMPTS, MODEL = Prompts.load(), tiny_chat_model()
ENCODE, END = MODEL.tokenizer.encode, MODEL.tokenizer.end_of_turn_id
NAMES = ["Ana", "Bo", "Cy", "Di", "Ed", "Flo"]
RECORDS = [
    Record(f"{n}", f"{name}, a baker.", {"name": name * 2}, (Turn("user", f"Why, {name}?"),), f"Because of {name}.", "IDTrain",
           lineage=f"line {n // 2}")
    for n, name in enumerate(NAMES)
]  # fmt: skip


def reward(name, groups, **settings):
    engine = ScoringEngine(MODEL, Devices(), Store(":memory:"), 512, 512)
    apart, _ = make_rewards({name: 1.0}, Resources(PROMPTS, RECORDS, engine, engine), {name: settings})(groups)
    return apart[name]


def groups(*texts, features=None, finish="end"):
    """Two records, both answered with `texts`; the last one ended as `finish` says."""
    samples = [Sample((5,), (-1.0,), "end")] * (len(texts) - 1) + [Sample((5,), (-1.0,), finish)]
    return [Group(Asked(RECORDS[n].id, [1], RECORDS[n], features), samples, texts) for n in (0, 3)]


def logprobs(messages, opening, ids):
    """Of `ids`, after the conversation and the words put into the assistant's mouth."""
    prefix = MODEL.tokenizer.encode_chat(messages) + ENCODE(opening)
    return plain_logprobs(MODEL, prefix, ids)


@pytest.mark.parametrize("features", [None, "- dry"])
def test_judge_ratio_is_how_the_judge_likes_a_reply_beside_the_golden_one(features):
    said = {"Because of Ana.": "Because of Ana.", "## Agent Response\nNo.": "No.", "": "", "Why not?": "Why not?"}
    said |= {text: text for text in ("No, no, no, no!", "Go away.", "12345678", "A baker bakes.", "Ana, Bo and Cy.")}
    found = reward("judge_ratio", groups(*said, features=features))
    for record, row in zip((RECORDS[0], RECORDS[3]), found, strict=True):

        def judged(candidate, record=record):
            return logprobs(*PROMPTS.judge(record, features, candidate), ENCODE("100%")).mean()

        expected = [min(1.0, np.exp(judged(candidate) - judged(record.golden))) for candidate in said.values()]
        np.testing.assert_allclose(row, expected, atol=1e-4)
    assert found[0, 0] == 1.0  # the golden reply itself
    assert found.min() < 0.99


def test_likelihood_is_the_golden_replys_given_the_core_features():
    texts = {f"so\n```\n{MARKER}\n- dry\n```": "- dry", "nothing": None, f"{MARKER} - kind": "- kind"}
    found = reward("likelihood", groups(*texts))
    for record, row in zip((RECORDS[0], RECORDS[3]), found, strict=True):
        golden = (*ENCODE(record.golden), END)
        expected = [np.exp(logprobs(*PROMPTS.responder(record, features), golden).mean()) for features in texts.values()]
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_pointwise_information_is_what_a_reply_tells_of_its_context():
    texts = ("Because of Ana.", "Why?", "Cut here")
    found = reward("pointwise_information", groups(*texts, finish="length"), others=2, seed=3)
    for record, row in zip((RECORDS[0], RECORDS[3]), found, strict=True):
        others = other_contexts(record, RECORDS, 2, 3)
        assert len({of.id for of in others}) == 2
        assert all(of.lineage != record.lineage for of in others)
        for text, value in zip(texts, row, strict=True):
            ids = (*ENCODE(text), *(() if text == "Cut here" else (END,)))
            own, *apart = (logprobs(*PROMPTS.responder(of, None), ids).sum() for of in (record, *others))
            assert value == pytest.approx((own - np.log(np.mean(np.exp(apart)))) / len(ids), abs=1e-4)


def test_a_cut_reply_without_text_has_no_pointwise_information():
    found = reward("pointwise_information", groups("", "", finish="length"))
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1]).all()


def test_other_contexts_are_drawn_by_seed_and_record():
    chosen = {
        (seed, n): tuple(of.id for of in other_contexts(RECORDS[n], RECORDS, 3, seed)) for seed in (0, 1) for n in range(6)
    }
    assert len(set(chosen.values())) > 6
    assert all(chosen[seed, n] == tuple(of.id for of in other_contexts(RECORDS[n], RECORDS, 3, seed)) for seed, n in chosen)


def test_too_few_other_lineages_are_refused():
    for others in (0, 5):
        with pytest.raises(UserError, match=f"others={others}: some record has only 4 records of other lineages"):
            reward("pointwise_information", [], others=others)
