"""Copied and novel parts of an enumerable language model, through the engine and the estimates, against sums over all replies.

The engine gives log-probabilities of tokens; the truth here is made of probabilities of whole replies alone: the probability of
a token is that of all replies that begin with it, over that of all replies that begin as it begins.
"""

import numpy as np
import pytest

from remid_jax.evaluation.estimating import estimate
from remid_jax.evaluation.questions import Question, ask
from remid_jax.information.score_table import NOVEL, SOURCES
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store
from remid_jax.synthetic.enumerable import CONTEXTS, REPLIES, kernels, model

RECORDS = {"IDTest": range(0, 27, 3), "german": range(1, 27, 3)}
MARGINAL = (6, 6, 6)  # what stands for no context


def silent(done, total):
    """Reports nothing."""


def sources_of(context, reply):
    """The dialogue's token is an echo, the user's a long quote, the character's a short one; the rest is the reply's own."""
    places = dict(zip(reversed(context), (2, 1, 0), strict=True)) | {context[0]: 1, context[2]: 0}
    return np.array([places.get(token, 3) for token in reply])


def copying(context, number):
    """Replies that say the dialogue back, more or less."""
    user, character, dialogue = context
    return [(dialogue, dialogue, 1), (dialogue, user, dialogue), (character, dialogue, 1), (dialogue, 1)][number % 4]


def golden(number):
    return REPLIES[(37 * number + 11) % len(REPLIES)]


@pytest.fixture(scope="module")
def exact():
    """log q(token | context, tokens before) of every reply, by sums over replies."""
    logs = kernels(Devices(), Store(":memory:"), silent)["golden"]

    def logprobs(context, reply):
        row = np.exp(logs[CONTEXTS.index(context)])
        mass = [sum(p for other, p in zip(REPLIES, row, strict=True) if other[:k] == reply[:k]) for k in range(len(reply) + 1)]
        return np.log(mass[1:]) - np.log(mass[:-1])

    return logprobs


def said_by(name):
    contexts = [CONTEXTS[number] for number in RECORDS[name]]
    copied = [copying(context, number) for number, context in enumerate(contexts)]
    return contexts, {"golden": [golden(number) for number in RECORDS[name]], "policy": copied}


@pytest.fixture(scope="module")
def found():
    """The estimates of a table that the engine filled."""
    engine, arrays, questions = ScoringEngine(model("golden"), Devices(), Store(":memory:"), 2048, 1024), {}, []
    for name in RECORDS:
        contexts, sets = said_by(name)
        n = len(contexts)
        arrays |= {f"{name}/record": np.arange(n).astype(str), f"{name}/lineage": np.arange(n).astype(str)}
        for replies, answers in sets.items():
            sources = [sources_of(context, reply) for context, reply in zip(contexts, answers, strict=True)]
            arrays[f"{name}/tokens/{replies}"] = arrays[f"{name}/chars/{replies}"] = np.array(list(map(len, answers)))
            arrays[f"{name}/tokens_by_source/{replies}"] = np.array([np.bincount(of, minlength=4) for of in sources])
            for kind, prefixes, shape in (("loglik", contexts, (n, n)), ("marginal", [MARGINAL], (n,))):
                parted = {f"{name}/{kind}_by_source/plain/{replies}": sources}
                questions.append(Question(f"{name}/{kind}/plain/{replies}", prefixes, answers, "g", shape, None, parted))
    return estimate(arrays | ask(engine, questions, silent))


def club_by_sums(exact, name, replies, sources):
    """`club token_rate` of the tokens of some sources, by loops; the sources are those of a reply in its own context."""
    contexts, sets = said_by(name)
    chosen = [SOURCES.index(source) for source in sources]
    rates = np.array([
        [
            exact(context, reply)[np.isin(sources_of(own, reply), chosen)].sum() / len(reply)
            for own, reply in zip(contexts, sets[replies], strict=True)
        ]
        for context in contexts
    ])  # fmt: skip
    n = len(contexts)
    return np.trace(rates) / n - (rates.sum() - np.trace(rates)) / (n * (n - 1))


@pytest.mark.parametrize("part", [*SOURCES, "novel"])
def test_parts_are_those_of_sums_over_all_replies(exact, found, part):
    sources = NOVEL if part == "novel" else (part,)
    emi = {
        name: club_by_sums(exact, name, "policy", sources) - club_by_sums(exact, name, "golden", sources) for name in RECORDS
    }
    for name, expected in emi.items():
        section = found["categories"][name]["plain"]["by_source"]["emi"][part]["club"]["token_rate"]
        assert section["value"] == pytest.approx(expected, abs=1e-4)
    section = found["categories"]["german"]["plain"]["by_source"]["emid"][part]["club"]["token_rate"]
    assert section["value"] == pytest.approx(emi["IDTest"] - emi["german"], abs=1e-4)


def test_they_sum_to_the_whole(exact, found):
    for name in RECORDS:
        section = found["categories"][name]["plain"]
        whole = section["policy"]["club"]["token_rate"]["value"]
        parts = [section["by_source"]["policy"][source]["club"]["token_rate"]["value"] for source in SOURCES]
        assert sum(parts) == pytest.approx(whole, abs=1e-10)
        assert whole == pytest.approx(club_by_sums(exact, name, "policy", SOURCES), abs=1e-4)
