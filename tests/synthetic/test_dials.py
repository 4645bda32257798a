"""Dials on enumerable language models, whose every reply can be written out.

A context is a user, a character and a dialogue of one token each; without the user it is the other two. What golden replies
lose when the user is cut is worked out from probabilities of whole replies alone, and curves over mixtures from the exact laws.
"""

import numpy as np
import pytest

from remid_jax.evaluation.estimating import estimate
from remid_jax.evaluation.questions import Question, ask
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store
from remid_jax.synthetic.enumerable import CONTEXTS, REPLIES, enumerated, model
from remid_jax.validation import dial_study
from remid_jax.validation.coverage_study import Channel

CHOSEN = CONTEXTS[::2]  # 14 of 27: every user occurs several times
DIAL = "without(user)"


def silent(done, total):
    """Reports nothing."""


def quoting(context, number):
    user, character, dialogue = context
    return [(user, user, 1), (character, user, 1), (user, dialogue, user)][number % 3]


@pytest.fixture(scope="module")
def lost():
    """(what golden replies lose as the user is cut, the same by sums over replies), nats a token."""
    engine, n = ScoringEngine(model("golden"), Devices(), Store(":memory:"), 2048, 1024), len(CHOSEN)
    golden = [quoting(context, number) for number, context in enumerate(CHOSEN)]
    policy = [REPLIES[(29 * number + 5) % len(REPLIES)] for number in range(n)]
    prefixes = {"IDTest": [list(context) for context in CHOSEN], DIAL: [list(context[1:]) for context in CHOSEN]}
    arrays, questions = {}, []
    for name, contexts in prefixes.items():
        names = np.arange(n).astype(str)
        arrays |= {f"{name}/record": names, f"{name}/lineage": names}
        for said, answers in (("golden", golden), ("policy", policy)):
            arrays[f"{name}/tokens/{said}"] = arrays[f"{name}/chars/{said}"] = np.array(list(map(len, answers)))
            arrays[f"{name}/marginal/plain/{said}"] = np.zeros(n)
            questions.append(Question(f"{name}/loglik/plain/{said}", contexts, answers, name, (n, n)))
    arrays |= {"IDTest/shift": np.array(""), "IDTest/reference": np.array("")}
    arrays |= {f"{DIAL}/shift": np.array(DIAL), f"{DIAL}/reference": np.array("IDTest"), f"{DIAL}/dial": np.array(DIAL)}
    section = estimate(arrays | ask(engine, questions, silent), bootstrap=0)["categories"][DIAL]["plain"]

    def club(contexts):
        rates = np.array([[exact(engine, context, reply) / len(reply) for reply in golden] for context in contexts])
        return np.trace(rates) / n - (rates.sum() - np.trace(rates)) / (n * (n - 1))

    return section["estimator_shift"]["club"]["token_rate"], club(prefixes["IDTest"]) - club(prefixes[DIAL])


KERNELS: dict = {}


def exact(engine, context, reply):
    """log q(reply | context): the probability of this whole reply among all replies written out."""
    key = tuple(context)
    if key not in KERNELS:
        asked = Question("all", [list(context)], REPLIES, "g", (1, len(REPLIES)))
        KERNELS[key] = ask(engine, [asked], silent)["all"][0]
        assert np.exp(KERNELS[key]).sum() == pytest.approx(1, abs=1e-5)
    beginning = [k for k, other in enumerate(REPLIES) if other[: len(reply)] == tuple(reply)]
    return float(np.log(np.exp(KERNELS[key][beginning]).sum()))


def test_golden_replies_that_quote_the_user_lose_what_brute_force_says(lost):
    found, expected = lost
    assert found["value"] == pytest.approx(expected, abs=1e-4)
    assert abs(expected) > 0.05  # there is something to lose


@pytest.fixture(scope="module")
def world():
    """The world of the enumerable models as a channel: golden replies and a policy by their decoders, judged by a wrong one."""
    exact_world = enumerated(Devices(), Store(":memory:"), silent)
    laws = [np.asarray(law, float).ravel() for law in (exact_world.world.p_x, exact_world.world.q_x)]
    kernels = {name: np.exp(logs) / np.exp(logs).sum(1, keepdims=True) for name, logs in exact_world.logs.items()}
    laws = [law / law.sum() for law in laws]
    return Channel("enumerable", "", kernels["golden"], kernels["wrong"], kernels["policy"], (laws[0], laws[1]))


def test_the_band_of_a_curve_holds_the_exact_one(world):
    found = dial_study.coverage(world, 32, 200, 1)
    assert 0.91 <= found["band"] <= 1
    assert np.ptp(found["truth"]) > 0.02  # the curve goes somewhere
