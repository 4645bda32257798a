"""Quantities of rated replies through an engine against plain likelihoods; planted scores on enumerable models."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr
from tiny import plain_logprobs, tiny_chat_model

import remid_jax
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.rated import read_rated
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.evaluation.agreement import lineages, other_contexts
from remid_jax.information.agreement import measures, over_contexts
from remid_jax.information.intervals import interval
from remid_jax.information.pointwise import ScoredReply, pointwise
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids
from remid_jax.synthetic.enumerable import CONTEXTS, REPLIES, model

PARROT = "the lamp on the old desk is lit"
TALKS = {"a": "Tell me, is " + PARROT + "?", "b": "Who are you?", "c": "What do you want?"}
SAID = [
    ("a", "m1", "I am Ada.", 3.0),
    ("a", "m2", f"Yes, {PARROT}.", 1.0),
    ("b", "m1", "Ada.", 2.0),
    ("c", "m1", "Tea, please.", 4.0),
]


def rows():
    return [
        {"context_id": name, "messages": [{"role": "user", "content": TALKS[name]}], "system": system, "reply": reply,
         "scores": {"fit": score}}
        for name, system, reply, score in SAID
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return remid_jax.agreement(rows(), model=tiny_chat_model(), date="2026-11-28", tokens_per_step=1024, progress=Silent())


def test_numbers_of_replies_are_those_of_plain_likelihoods(found):
    language, prompts = tiny_chat_model(), Prompts.load()
    tokenizer = language.tokenizer
    contexts = {of.record.id: of.record for of in read_rated(rows())}

    def logs(record, reply):
        ids = answer_ids(tokenizer, Reply(reply))
        return plain_logprobs(language, responder_ids(tokenizer, prompts, record, None), ids)

    for row in found.replies:
        own, nowhere = logs(contexts[row["context_id"]], row["reply"]), logs(None, row["reply"])
        others = [logs(record, row["reply"]) for name, record in contexts.items() if name != row["context_id"]]
        expected = {
            "loglik in context": own.mean(), "loglik without context": nowhere.mean(), "tokens": len(own),
            "club token_rate": (own.sum() - np.mean([of.sum() for of in others])) / len(own),
            "leave_one_out response": own.sum() - np.log(np.mean([np.exp(of.sum()) for of in others])),
            "prompt_marginal response": own.sum() - nowhere.sum(),
        }  # fmt: skip
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=2e-4), name
    copied = [row["copied"] for row in found.replies]
    assert copied[1] > 0.5
    assert [copied[k] for k in (0, 2, 3)] == [0, 0, 0]
    assert found.replies[1]["echo club token_rate"] + found.replies[1]["novel club token_rate"] == pytest.approx(
        found.replies[1]["club token_rate"], abs=1e-9
    )


def test_results_are_typed_and_saved(found, tmp_path):
    assert found.scores == ["fit"]
    assert found.results["counts"] == {
        "replies": 4, "contexts": 3, "lineages": 3, "others": 2, "scored": {"fit": 4},
    }  # fmt: skip
    tokens = [row["tokens"] for row in found.replies]
    expected = stats.spearmanr(tokens, [score for *_, score in SAID]).statistic
    assert found.of("fit")["tokens"].value == pytest.approx(expected, abs=1e-9)
    assert found.of("fit", "pairs")["tokens"].value == float(tokens[0] > tokens[1])
    assert found.of_systems("fit")["m1"].value == 3.0
    found.save(tmp_path / "work")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["agreement.json", "replies.parquet"]
    assert str(found).startswith("fit: Spearman of club token_rate ")


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(UserError, match=r"^config.level=1.5: must be a number above 0 and below 1; config.others=0: must be"):
        remid_jax.agreement(rows(), model=tiny_chat_model(), others=0, level=1.5)
    related = [{**row, "lineage": "one"} for row in rows()]
    with pytest.raises(UserError) as error:
        remid_jax.agreement(related, model=tiny_chat_model(), progress=Silent())
    assert str(error.value) == (
        "context 'a' has no context of another lineage beside it in its category: name unlike lineages, or add other contexts"
    )


def record(number, lineage="", clusters=None):
    return Record(f"r{number}", "", {"name": "A"}, (Turn("user", "Hm?"),), "", "all", lineage, clusters or {})


def test_every_context_hears_as_many_strangers():
    contexts = [record(number, f"l{number // 2}") for number in range(20)]
    beside = other_contexts(contexts, 5, 3)
    assert {len(others) for others in beside} == {5}
    for number, others in enumerate(beside):
        assert all(contexts[other].lineage != contexts[number].lineage for other in others)
        assert len(set(others)) == 5
    heard = np.bincount(np.concatenate(beside), minlength=20)
    assert heard.min() >= 4
    assert heard.max() <= 6
    assert other_contexts(contexts, 99, 3)[0] != sorted(other_contexts(contexts, 99, 3)[0])
    assert {len(others) for others in other_contexts(contexts, 99, 3)} == {18}


def test_contexts_of_other_categories_are_not_heard():
    contexts = [record(number).in_category("even" if number % 2 == 0 else "odd") for number in range(8)]
    for number, others in enumerate(other_contexts(contexts, 9, 0)):
        assert sorted(others) == [other for other in range(number % 2, 8, 2) if other != number]


def test_contexts_that_clusters_link_are_one_lineage():
    crossed = [record(0, clusters={"user": "u", "character": "c"}), record(1, clusters={"user": "u", "character": "d"}),
               record(2, clusters={"user": "v", "character": "e"})]  # fmt: skip
    found = lineages(crossed)
    assert found[0] == found[1] != found[2]


@pytest.fixture(scope="module")
def enumerated():
    """log q(token | context, tokens before) of every reply in every context, by the engine: [context][reply]."""
    requests = [Request(context, [Continuation(reply) for reply in REPLIES]) for context in CONTEXTS]
    scores = ScoringEngine(model("golden"), Devices(), Store(":memory:"), 2048, 1024).score(requests)
    return [[row.astype(np.float64) for row in rows] for rows in scores]


def exact_spearman(fit, law, noise):
    """Of a discrete fit and fit + noise N(0, 1): the correlation of their mid-distribution functions, in closed form."""
    values, place = np.unique(fit, return_inverse=True)
    mass = np.bincount(place, law)
    of_fit = (np.cumsum(mass) - mass / 2)[place]
    grid = np.linspace(fit.min(), fit.max(), 500)
    means = ndtr((grid[:, None] - values) / (noise * np.sqrt(2))) @ mass  # of the score's, given the fit; smooth
    of_score = np.interp(fit, grid, means)
    covariance = law @ (of_fit * of_score) - 0.25
    return covariance / np.sqrt((law @ of_fit**2 - 0.25) / 12)


def test_planted_scores_are_agreed_with_as_much_as_they_do(enumerated):
    """40 files of 14 of 27 contexts with four replies each, scored by true fit and noise as large: intervals hold the truth."""
    totals = np.array([[row.sum() for row in rows] for rows in enumerated])
    laws = np.exp(totals) / np.exp(totals).sum(axis=1, keepdims=True)
    n = len(CONTEXTS)
    elsewhere = np.log((np.exp(totals).sum(axis=0) - np.exp(totals)) / (n - 1))
    fit, law = (totals - elsewhere).ravel(), laws.ravel() / n
    noise = np.sqrt(law @ fit**2 - (law @ fit) ** 2)
    truth = exact_spearman(fit, law, noise)
    assert 0.5 < truth < 0.8
    rng, held, values = np.random.default_rng(0), [], []
    for _ in range(40):
        contexts = rng.choice(n, 14, replace=False)
        replies, scores = [], []
        for place, context in enumerate(contexts):
            others = [other for other in range(14) if other != place]
            for said in rng.choice(len(REPLIES), 4, p=laws[context]):
                logs = np.stack([enumerated[contexts[other]][said] for other in others])
                own = enumerated[context][said]
                replies.append(ScoredReply(place, others, own, logs, own, np.full(len(own), 3)))
                scores.append(fit.reshape(n, -1)[context, said] + noise * rng.normal())
        names = np.repeat(np.arange(14), 4).astype(str)
        numbers = pointwise(replies, np.arange(14).astype(str))["leave_one_out response"]
        of_all = measures(numbers, np.array(scores), names, names, np.array(["m"] * 56), 0)["spearman"]
        told = interval(over_contexts(of_all), "correlation", 0.95)
        held.append(told["low"] <= truth <= told["high"])
        values.append(of_all.values[0])
    assert np.mean(held) >= 0.9
    assert np.mean(values) == pytest.approx(truth, abs=0.04)


def test_copying_lifts_the_rank_of_the_whole_and_not_of_the_novel_part():
    """Three systems: one that fits, one that does not, one that echoes and does not fit. Scores are the true fit."""
    rng = np.random.default_rng(0)
    gains = {"fits": (0.5, 0.0), "idle": (0.0, 0.0), "echoes": (0.0, 6.0)}  # nats of a token of its own, of an echoed one
    replies, systems, scores = [], [], []
    for context in range(20):
        for system, (own, echoed) in gains.items():
            sources = np.repeat([3, 0], [4, 4 if echoed else 0])
            logs = rng.normal(-3, 0.3, (21, len(sources)))
            logs[0] += np.where(sources == 0, echoed, own)
            others = [other for other in range(20) if other != context]
            replies.append(ScoredReply(context, others, logs[0], logs[1:20], logs[20], sources))
            systems.append(system)
            scores.append(own)
    found = pointwise(replies, np.arange(20).astype(str))
    mean = {
        name: {system: found[name][np.array(systems) == system].mean() for system in gains}
        for name in ("club token_rate", "novel club token_rate", "identified", "novel identified")
    }
    assert mean["club token_rate"]["echoes"] > 2 > 0.6 > mean["club token_rate"]["fits"] > mean["club token_rate"]["idle"] + 0.3
    assert mean["novel club token_rate"]["fits"] > 0.3
    assert abs(mean["novel club token_rate"]["echoes"]) < 0.1
    assert mean["identified"]["echoes"] == 1
    assert mean["novel identified"]["fits"] > 0.9
    assert 0.3 < mean["novel identified"]["echoes"] < 0.7
    names = np.repeat(np.arange(20), 3).astype(str)
    by_rank = {name: measures(found[name], np.array(scores), names, names, np.array(systems), 0) for name in mean}
    assert by_rank["club token_rate"]["spearman"].values[0] < 0.1
    assert by_rank["novel club token_rate"]["spearman"].values[0] > 0.7
