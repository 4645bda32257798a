"""The plan: every sequence is found whole in one row, trees are what their depths say, and the cut is the cheapest one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.learning.rows import pack
from remid_jax.scoring.filling import BUCKETS, Limits
from remid_jax.scoring.packing import LEAST_SHARED, _cuts, plan_rows
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.settings import RANGES

ids = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@st.composite
def requests(draw):
    asked = []
    for _ in range(draw(st.integers(1, 5))):
        continuations = [Continuation(draw(ids)) for _ in range(draw(st.integers(0, 4)))]
        asked.append(Request(draw(ids), continuations, draw(st.sampled_from(["a", "b"]))))
    return asked


def ancestors(row, slot):
    """By the definition of a depth-first order: walk back, taking each slot that is one level higher than the last taken."""
    chain, depth = [slot], row.positions[slot]
    for earlier in range(slot - 1, -1, -1):
        if row.positions[earlier] == depth - 1:
            chain.append(earlier)
            depth -= 1
    return chain[::-1]


@settings(max_examples=150, deadline=None)
@given(requests(), st.sampled_from([8, 16, 32]))
def test_every_scored_token_stands_in_its_row_after_exactly_its_own_past(asked, max_row):
    plan = plan_rows(asked, Limits(max_row, 100.0))
    for request, places in zip(asked, plan.places, strict=True):
        for continuation, place in zip(request.continuations, places, strict=True):
            row = plan.rows[place.row]
            assert len(row.tokens) <= max(max_row, len(request.prefix) + max(len(c.ids) for c in request.continuations))
            assert row.group == request.group
            slots = row.scored[place.indices]
            assert len(slots) == len(continuation.ids)
            whole = [*request.prefix, *continuation.ids]
            for offset, slot in enumerate(slots):
                past = [int(row.tokens[s]) for s in ancestors(row, slot)]
                assert past == whole[: len(request.prefix) + offset + 1]


@settings(max_examples=100, deadline=None)
@given(requests())
def test_ends_and_parents_say_what_the_tree_says(asked):
    for row in plan_rows(asked, Limits(64, 100.0)).rows:
        ends, parents = row.links()
        for t in range(len(row.tokens)):
            chain = ancestors(row, t)
            assert [s for s in range(t + 1) if t < ends[s]] == chain
            assert parents[t] == (chain[-2] if len(chain) > 1 else 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 60)), min_size=1, max_size=8))
def test_the_cut_costs_no_more_than_any_other(pairs):
    lengths = [length for length, _ in pairs]
    shared = [0, *(min(s, a, b - 1) for (_, s), a, b in zip(pairs[1:], lengths, lengths[1:], strict=False))]
    max_row, knee, head = 256, 300.0, min([*shared[1:], *lengths])

    def cost(cuts):
        total = 0.0
        for i, j in itertools.pairwise([0, *cuts, len(lengths)]):
            size = lengths[i] + sum(lengths[k] - shared[k] for k in range(i + 1, j))
            if size > max_row and j - i > 1:
                return np.inf
            looked = lengths[i] ** 2 + sum(lengths[k] ** 2 - shared[k] ** 2 for k in range(i + 1, j))
            total += size + looked / knee - head
        return total

    apart = {k for k in range(1, len(lengths)) if shared[k] - head < LEAST_SHARED}
    chosen = [first for first, _ in _cuts(np.array(lengths), np.array(shared), max_row, knee)][1:]
    assert apart <= set(chosen)
    inner = range(1, len(lengths))
    allowed = (cuts for n in range(len(lengths)) for cuts in itertools.combinations(inner, n) if apart <= set(cuts))
    assert cost(chosen) == pytest.approx(min(map(cost, allowed)))


def test_shared_prefixes_are_encoded_once_whoever_asks():
    prefix, answers = list(range(100)), [Continuation([200 + k, 7]) for k in range(5)]
    plan = plan_rows(
        [Request(prefix, answers[:3]), Request(prefix, answers[2:]), Request(prefix[:50], answers)], Limits(2048, 1e9)
    )
    assert [len(row.tokens) for row in plan.rows] == [100 + 5 * 2 + 5 * 2]


def test_rows_of_the_largest_setting_hold_no_more_than_the_longest_bucket():
    most = int(RANGES["max_row"].high)
    assert most == BUCKETS[-1]
    prefix, answers = [1] * 10, [Continuation([n] * 14_500) for n in (2, 3)]
    assert most < 10 + 2 * 14_500
    rows = plan_rows([Request(prefix, answers)], Limits(most, 1e9)).rows
    assert [len(row.tokens) for row in rows] == [14_510, 14_510]
    rows = pack([Request(prefix, [answer]) for answer in answers], most, 1e9)
    assert [len(of.row.tokens) for of in rows] == [14_510, 14_510]


def test_an_edit_moves_no_row_of_another_group():
    def plan(word):
        texts = {group: [[ord(c) for c in f"{group} asks {n}"] for n in range(6)] for group in "pq"}
        texts["p"][2].append(word)
        asked = [Request(t, [Continuation([5, 6])], g) for g, ts in texts.items() for t in ts]
        plan = plan_rows(asked, Limits(96, 1e4))
        return {(row.digest, step) for row, step in zip(plan.rows, plan.steps, strict=True) if row.group == "q"}

    assert plan(1) == plan(2)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request([], [Continuation([1])]), "empty prefix"),
        (Request([1], [Continuation([])]), "no token to score"),
        (Request([1] * 40_000, [Continuation([1])]), "exceeds the longest row"),
    ],
)
def test_what_cannot_be_scored_is_refused(request_, words):
    with pytest.raises(UserError, match=words):
        plan_rows([request_], Limits(2048, 1e4))
