"""Answers as events at a horizon (docs/protocol.md, rule 21): on a language model that is written out, and in an evaluation."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from tiny import plain_logprobs

import remid_jax
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError
from remid_jax.evaluation import questions as asking
from remid_jax.information.mutual_information import (
    club,
    leave_one_out_terms,
    mismatched_pairs,
    mixture_terms,
    prompt_marginal,
)
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, scored_answer
from remid_jax.synthetic.enumerable import END, LONGEST, REPLIES, model

CONTEXTS = [(0, 2, 3), (2, 4, 5), (3, 2, 6), (0, 4, 6)]
WRITER = 0  # every reply is a sample of this context's
HORIZONS = (1, 2, 3)


@pytest.fixture(scope="module")
def scored():
    """{model: {horizon: log q(event of a reply | context) [contexts, replies]}}, as an evaluation asks for samples."""
    replies = [Sample(reply, (0.0,) * len(reply), "end" if reply[-1] == END else "length") for reply in REPLIES]
    prompts = types.SimpleNamespace(policy=lambda record: record)
    tokenizer = types.SimpleNamespace(encode_chat=list)
    contexts = [types.SimpleNamespace(id=i, ids=ids) for i, ids in enumerate(CONTEXTS)]
    prompts.policy = lambda record: record.ids
    folds = (np.zeros(len(contexts), int), np.zeros(1, int))
    found = {}
    for name in ("golden", "wrong"):
        engine = ScoringEngine(model(name), Devices(), Store(":memory:"), 2048, 1024)
        policies = {h: asking.Policy(prompts, tokenizer, {WRITER: replies}, h) for h in HORIZONS}
        asked = [
            question
            for h, policy in policies.items()
            for question in policy.questions(str(h), contexts, contexts[:1], folds, "all")
        ]
        answers = asking.ask(engine, asked, lambda done, total: None)
        found[name] = {h: answers[str(h)][:, 0] for h in HORIZONS}
    about = {h: policy.about(contexts[:1], "A") for h, policy in policies.items()}
    return found, about


def events(horizon):
    """[(event, number of a reply that makes it, numbers of all that do)]: beginnings of `horizon` tokens, or whole replies."""
    numbers = {}
    for number, reply in enumerate(REPLIES):
        numbers.setdefault(reply[:horizon], []).append(number)
    return [(event, of[0], of) for event, of in numbers.items()]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_events_are_disjoint_of_probability_1_and_those_of_whole_replies_that_begin_so(scored, horizon):
    found, about = scored
    for scores in found.values():
        own, whole = np.exp(scores[horizon]), np.exp(scores[LONGEST])
        at = events(horizon)
        np.testing.assert_allclose(own[:, [first for _, first, _ in at]].sum(1), 1, atol=1e-5)
        for _, first, of in at:
            np.testing.assert_allclose(own[:, first], whole[:, of].sum(1), atol=1e-5)
    tokens, goes_on = (about[horizon][f"A/self/{name}"][0] for name in ("tokens", "truncated"))
    assert tokens.tolist() == [min(len(reply), horizon) for reply in REPLIES]
    assert goes_on.tolist() == [END not in reply[:horizon] for reply in REPLIES]


def information_by_sums(whole, horizon):
    """I(X; Y_1:H), contexts drawn evenly, from probabilities [contexts, whole replies]."""
    p = np.stack([whole[:, of].sum(1) for _, _, of in events(horizon)], axis=1)
    marginal = p.mean(0)
    return p, marginal, float(np.mean(np.sum(p * np.log(p / marginal), axis=1)))


def expected_terms(terms, q, p):
    """The mean of a term over replies: every event in every context by its weight."""
    total = 0.0
    for event in range(p.shape[1]):
        column = jnp.asarray(np.repeat(q[:, event : event + 1], len(p), axis=1))
        total += float(p[:, event] @ np.asarray(terms(column, jnp.ones(len(p))))) / len(p)
    return total


@pytest.mark.parametrize("critic", ["golden", "wrong"])
@pytest.mark.parametrize("horizon", HORIZONS)
def test_estimates_at_a_horizon_have_the_values_that_sums_over_whole_replies_give(scored, horizon, critic):
    found, _ = scored
    n, at = len(CONTEXTS), events(horizon)
    p, marginal, information = information_by_sums(np.exp(found["golden"][LONGEST]), horizon)
    q = found[critic][horizon][:, [first for _, first, _ in at]]
    brute_q = np.log(np.stack([np.exp(found[critic][LONGEST])[:, of].sum(1) for _, _, of in at], axis=1))
    nowhere = brute_q.mean(0)
    with jax.enable_x64(True):
        expected = p @ q.T  # [replies' contexts, contexts]
        got = {
            "mixture": expected_terms(mixture_terms, q, p),
            "leave_one_out": expected_terms(leave_one_out_terms, q, p),
            "club": float(club(jnp.asarray(expected.T), jnp.ones(n), jnp.asarray(mismatched_pairs(n, 1, 0)))),
            "prompt_marginal": float(prompt_marginal(jnp.asarray(expected.T), jnp.asarray(p @ q.mean(0)), jnp.ones(n))),
        }
    own = np.mean(np.sum(p * brute_q, axis=1))
    others = np.stack([np.log(np.exp(np.delete(brute_q, i, axis=0)).mean(0)) for i in range(n)])
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    brute = {
        "mixture": own - marginal @ np.log(np.exp(brute_q).mean(0)),
        "leave_one_out": own - np.mean(np.sum(p * others, axis=1)),
        "club": own - np.mean([p[j] @ brute_q[i] for i, j in pairs]),
        "prompt_marginal": own - marginal @ nowhere,
    }
    for name, value in brute.items():
        assert got[name] == pytest.approx(value, abs=1e-4), name
    if critic == "golden":
        assert got["mixture"] == pytest.approx(information, abs=1e-4)


def test_information_does_not_decrease_with_the_horizon(scored):
    whole = np.exp(scored[0]["golden"][LONGEST])
    found = [information_by_sums(whole, horizon)[2] for horizon in HORIZONS]
    assert 0.05 < found[0] < found[1] < found[2] < np.log(len(CONTEXTS))


@pytest.fixture(scope="module")
def opened(tiny_directory):
    return open_model(str(tiny_directory))


@pytest.fixture(scope="module")
def records(few_records):
    """Three of IDTest and three of german, whose golden replies are cut to a few tokens."""
    found = [json.loads(line) for line in few_records.read_text().splitlines()][:6]
    for record in found[3:]:
        record["agent_golden_response"] = record["agent_golden_response"][:5]
    return found


@pytest.fixture(scope="module")
def evaluated(opened, records, tmp_path_factory):
    """evaluated(policy, rows, **settings): an evaluation in this process; all go on from one store."""
    store = tmp_path_factory.mktemp("store") / "store.sqlite"

    def evaluated(policy, rows=records, **settings):
        return remid_jax.evaluate(
            rows,
            policy=policy,
            estimator={"model": opened, "adapters": "", "max_reasoning": 4},
            statistics={"bootstrap": 0, "subsamples": 2},
            devices={"tokens_per_step": 1024, "sampling_rows": 8},
            store=store,
            progress=Silent(),
            **settings,
        )

    return evaluated


@pytest.fixture(scope="module")
def near(evaluated, opened):
    return evaluated({"model": opened, "max_reply": 12, "self_samples": 4}, horizon=6)


@pytest.fixture(scope="module")
def far(evaluated, opened, near):
    return evaluated({"model": opened, "max_reply": 12, "self_samples": 4})


def test_every_answer_is_cut_to_the_horizon_and_keeps_its_end_if_it_is_shorter(near, far, opened, records):
    tokenizer = opened.tokenizer
    for found, horizon in ((near, 6), (far, 12)):  # by default that of `max_reply`
        assert found.estimates["horizon"] == horizon
        for category, group in (("IDTest", records[:3]), ("german", records[3:])):
            golden = [answer_ids(tokenizer, Reply(record["agent_golden_response"])) for record in group]
            assert found.scores[f"{category}/horizon"] == horizon
            assert found.scores[f"{category}/tokens/golden"].tolist() == [min(len(ids), horizon) for ids in golden]
            assert found.scores[f"{category}/self/tokens"].max() <= horizon
            rows = found.records[category]
            assert [row["golden_chars"] for row in rows] == found.scores[f"{category}/chars/golden"].tolist()
    whole = [len(record["agent_golden_response"]) for record in records[3:]]
    assert far.scores["german/chars/golden"].tolist() == whole
    assert max(near.scores["IDTest/chars/golden"]) < min(len(record["agent_golden_response"]) for record in records[:3])


def test_what_is_scored_is_the_beginning_alone(near, opened, few_records):
    record, other, _ = read_benchmark(few_records).test["IDTest"]
    ids = answer_ids(opened.tokenizer, Reply(other.golden))
    assert len(ids) > 6
    prefix = responder_ids(opened.tokenizer, Prompts.load(), record, None)
    expected = plain_logprobs(opened, prefix, ids[:6]).sum()
    assert near.scores["IDTest/loglik/plain/golden"][0, 1] == pytest.approx(expected, abs=1e-3)


def test_no_sample_is_truncated_away(far):
    for category in ("IDTest", "german"):
        assert far.scores[f"{category}/self/truncated"].all()  # none of the tiny model's replies ends
        section = far.estimates["categories"][category]["self"]
        loglik, terms = far.scores[f"{category}/self/loglik"], []
        for j in range(3):
            terms += [loglik[j, j, s] - logsumexp(loglik[:, j, s]) + np.log(3) for s in range(4)]
        assert section["self_information"]["response"]["value"] == pytest.approx(np.mean(terms), rel=1e-6)
        assert (section["samples"], section["truncated"]) == (4, 12)
    bounds = far.estimates["bounds"]
    assert bounds["categories"]["german"]["bounds"]["plain"]["unknown_shift"]["bound"]["value"] is not None
    assert bounds["risk"]["plain"]["emi"]["value"] is not None


def test_a_run_at_a_farther_horizon_draws_and_embeds_nothing_again(near, far):
    [sampled] = far.run["sampling"].values()
    assert (sampled["store_misses"], sampled["store_hits"]) == (0, 12)  # reasonings and replies of six records
    assert [row["reply"] for row in near.samples] == [row["reply"] for row in far.samples]


def test_only_categories_with_an_answer_beyond_the_nearer_horizon_are_scored_again(evaluated, opened, records):
    short = [record | {"subset_tag": "IDTest"} for record in records[3:]]
    ja = {"replies": {record["sample_ID"]: "Ja." for record in records}}
    whole = evaluated(ja, short)
    assert whole.estimates["horizon"] is None  # ready replies are scored whole
    count = max(int(array.max()) for name, array in whole.scores.items() if name.startswith("IDTest/tokens/"))

    def rows(found):
        [counts] = found.run["scoring"].values()
        return counts["store_hits"], counts["store_misses"]

    evaluated(ja, short, horizon=count)
    assert rows(evaluated(ja, short, horizon=2 * count))[1] == 0  # no answer changed, so no row did
    near = evaluated(ja, horizon=count)
    kept, again = rows(evaluated(ja, horizon=count))
    assert again == 0
    far = evaluated(ja, horizon=2 * count)  # golden replies of IDTest alone reach so far
    hits, misses = rows(far)
    assert min(kept - hits, misses) > 0  # rows of IDTest, which hold longer answers
    assert hits > kept / 2
    for name, array in near.scores.items():
        if name.startswith("german/") and not name.endswith("horizon"):
            np.testing.assert_array_equal(far.scores[name], array)
    assert count < far.scores["IDTest/tokens/golden"].max() <= 2 * count


def test_a_horizon_out_of_range_is_refused_in_one_line(evaluated, opened):
    with pytest.raises(UserError) as refused:
        evaluated({"model": opened, "max_reply": 12}, horizon=13)
    assert str(refused.value) == (
        "config.horizon=13: the policy's replies are known for config.policy.max_reply=12 tokens only: lower the horizon or "
        "raise config.policy.max_reply"
    )
    with pytest.raises(UserError, match=r"^config\.horizon=0: must be a whole number from 1 to 2147483647$"):
        evaluated({"model": opened}, horizon=0)


def test_characters_are_those_of_the_kept_pieces(opened):
    tokenizer, reply = opened.tokenizer, Reply("Guten Tag, mein Freund.")
    ids = answer_ids(tokenizer, reply)
    for horizon in range(1, len(ids) + 1):
        kept = tokenizer.decode(ids[:horizon])
        assert scored_answer(tokenizer, reply, horizon) == (ids[:horizon], min(len(kept), len(reply.text)))
    assert scored_answer(tokenizer, reply, None) == scored_answer(tokenizer, reply, len(ids)) == (ids, len(reply.text))
