"""Questions whose pairs others have asked about: each pair is asked once, and every question gets its own answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.evaluation.questions import Question, ask, asked_once


class Engine:
    """Answers at once: one log-probability a token, which prefix and token decide; counts what it was asked."""

    def __init__(self):
        self.pairs = 0

    def score(self, requests, report):
        self.pairs += sum(len(request.continuations) for request in requests)
        return [
            [np.array([sum(request.prefix) + token / 7 for token in of.ids], np.float32) for of in request.continuations]
            for request in requests
        ]


def question(name, prefixes, answers, repeated=False):
    shape = (len(prefixes), len(answers))
    return Question(name, prefixes, answers, name, shape, repeated=repeated)


def alone(asked):
    return np.array(
        [[sum(sum(prefix) + token / 7 for token in answer) for answer in asked.answers] for prefix in asked.prefixes]
    )


ids = st.lists(st.integers(0, 2), min_size=1, max_size=2)
blocks = st.tuples(st.lists(ids, min_size=1, max_size=3), st.lists(ids, min_size=1, max_size=3), st.booleans())


@given(st.lists(blocks, min_size=1, max_size=4))
def test_every_question_gets_its_answers_whoever_asked_before(asked):
    questions = [question(f"q{k}", *of) for k, of in enumerate(asked)]
    found = ask(Engine(), questions, lambda done, total: None)
    for one in questions:
        np.testing.assert_allclose(found[one.name], alone(one), rtol=1e-6)


def test_pairs_are_asked_once_and_others_rows_stay():
    first = question("a", [[1], [2]], [[3], [4]])
    again = question("b", [[2], [5]], [[4], [6]], repeated=True)
    engine = Engine()
    ask(engine, [first, again], lambda done, total: None)
    assert engine.pairs == 4 + 3  # [4] after [2] is known
    requests, _ = asked_once([first, again])
    assert requests[:2] == first.requests()
    assert [[list(of.ids) for of in request.continuations] for request in requests[2:]] == [[[6]], [[4], [6]]]


@pytest.mark.parametrize("repeated", [False, True])
def test_a_question_that_repeats_nothing_is_asked_as_it_is(repeated):
    one = question("a", [[1], [2]], [[3], [4]], repeated)
    assert asked_once([one])[0] == one.requests()
