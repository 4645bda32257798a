"""Estimators on language models small enough to write out every answer, scored by the engine (docs/protocol.md, rule 11).

An answer is up to two tokens and their end, or three tokens cut at the limit: together they have probability 1.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CONFIG, tiny_model

from remid_jax.information.mutual_information import (
    club,
    leave_one_out_terms,
    mismatched_pairs,
    mixture_terms,
    prompt_marginal,
)
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

VOCABULARY, END, LONGEST = 7, 1, 3
CONTEXTS = [[2, 3], [4], [5, 6, 2, 2], [3, 3, 3, 0, 6], [6], [0, 2]]
NOWHERE = [0]
OPEN = [token for token in range(VOCABULARY) if token != END]
ENDED = [(*said, END) for length in range(LONGEST) for said in itertools.product(OPEN, repeat=length)]
ANSWERS = [*ENDED, *itertools.product(OPEN, repeat=LONGEST)]
PREFIXES = {a: [b for b in ANSWERS if b[: len(a)] == a] for a in ((token,) for token in OPEN)}


def model(seed):
    return tiny_model(seed=seed, config=dataclasses.replace(CONFIG, vocab_size=VOCABULARY))


@pytest.fixture(scope="module")
def loglik(tmp_path_factory):
    """log q(answer | context), [contexts and NOWHERE, answers], of the right model and of a wrong one."""
    found = {}
    for name, seed in (("right", 3), ("wrong", 4)):
        store = Store(tmp_path_factory.mktemp("worlds") / "store")
        engine = ScoringEngine(model(seed), Devices(), store, 512, 512)
        scores = engine.score([Request(x, [Continuation(y) for y in ANSWERS]) for x in (*CONTEXTS, NOWHERE)])
        found[name] = np.array([[row.astype(np.float64).sum() for row in rows] for rows in scores])
    return found


@pytest.fixture(scope="module")
def truth(loglik):
    """p(y|x), and by brute force I(X;Y) and H(Y) for contexts drawn evenly."""
    p = np.exp(loglik["right"][:-1])
    marginal = p.mean(0)
    information = sum(p[i, a] * np.log(p[i, a] / marginal[a]) for i in range(len(p)) for a in range(p.shape[1])) / len(p)
    return p, marginal, information


def test_probabilities_of_all_answers_sum_to_one(loglik, truth):
    for name in loglik:
        np.testing.assert_allclose(np.exp(loglik[name]).sum(1), 1, atol=1e-5)
    assert {len(a) for a in ANSWERS} == {1, 2, 3}
    assert 0.2 < truth[2] < np.log(len(CONTEXTS)) - 0.1  # there is something to estimate, short of the ceiling


def expected_terms(terms, q, p):
    """The population value of an estimator that averages a term over replies: each answer in each context, by weight."""
    ones = jnp.ones(len(p))
    total = 0.0
    for a in range(p.shape[1]):
        column = jnp.asarray(np.repeat(q[:, a : a + 1], len(p), axis=1))  # the answer as everyone's reply
        total += float(p[:, a] @ np.asarray(terms(column, ones))) / len(p)
    return total


@pytest.mark.parametrize("critic", ["right", "wrong"])
def test_estimators_have_their_own_population_values(loglik, truth, critic):
    p, marginal, information = truth
    q, n = loglik[critic], len(CONTEXTS)
    contexts, nowhere = q[:-1], q[-1]
    answers = range(p.shape[1])
    with jax.enable_x64(True):
        ones = jnp.ones(n)
        expected = np.array([[sum(p[j, a] * contexts[i, a] for a in answers) for j in range(n)] for i in range(n)])
        found = {
            "mixture": expected_terms(mixture_terms, contexts, p),
            "leave_one_out": expected_terms(leave_one_out_terms, contexts, p),
            # Both are linear in the scores, so the expected matrix has the expected value.
            "club": float(club(jnp.asarray(expected), ones, jnp.asarray(mismatched_pairs(n, 1, 0)))),
            "prompt_marginal": float(prompt_marginal(jnp.asarray(expected), jnp.asarray(p @ nowhere), ones)),
        }
    mixed = np.log(np.exp(contexts).mean(0))
    others = [np.log(np.exp(np.delete(contexts, i, axis=0)).mean(0)) for i in range(n)]
    own = sum(p[i, a] * contexts[i, a] for i in range(n) for a in answers) / n
    nowhere_rate = sum(marginal[a] * nowhere[a] for a in answers)
    brute = {
        "mixture": own - sum(marginal[a] * mixed[a] for a in answers),
        "leave_one_out": own - sum(p[i, a] * others[i][a] for i in range(n) for a in answers) / n,
        "club": own
        - sum(p[j, a] * contexts[i, a] for i in range(n) for j in range(n) if i != j for a in answers) / (n * (n - 1)),
        "prompt_marginal": own - nowhere_rate,
    }
    for name, value in brute.items():
        assert found[name] == pytest.approx(value, abs=1e-4), name
    if critic == "right":
        assert found["mixture"] == pytest.approx(information, abs=1e-4)
        reverse = np.mean([(marginal * np.log(marginal / p[i])).sum() for i in range(n)])
        # All ordered pairs with i != j: the mean over independent pairs, less its share of matched ones.
        assert found["club"] == pytest.approx((information + reverse) * n / (n - 1), abs=1e-4)
        kl = (marginal * np.log(marginal / np.exp(nowhere))).sum()
        assert found["prompt_marginal"] == pytest.approx(information + kl, abs=1e-4)
        assert found["leave_one_out"] > information
    else:
        assert found["mixture"] < information  # a wrong critic only loses


def test_controls_are_ordered_as_they_must_be(loglik, truth):
    """Golden > golden cut short > constant > golden of another context, by the right model, in the population."""
    p, _, information = truth
    q, n = loglik["right"][:-1], len(CONTEXTS)
    with jax.enable_x64(True):
        golden = expected_terms(mixture_terms, q, p)
        first = {a: np.log(np.exp(q[:, [ANSWERS.index(b) for b in tails]]).sum(1)) for a, tails in PREFIXES.items()}
        ended = q[:, ANSWERS.index((END,))]
        cut = np.stack([*first.values(), ended], axis=1)  # the first token only
        half = expected_terms(mixture_terms, cut, np.exp(cut))
        ones = jnp.ones(n)
        constant = float(np.mean(np.asarray(mixture_terms(jnp.asarray(np.repeat(q[:, :1], n, axis=1)), ones))))
        other = expected_terms(mixture_terms, q, np.roll(p, 1, axis=0))
    assert golden == pytest.approx(information, abs=1e-4)
    assert golden > half + 0.01 > constant + 0.01 > other + 0.02
    assert constant <= 1e-9  # the mean of log(q_i / mean q) for one answer: minus a divergence
