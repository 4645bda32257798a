"""Rows and steps are full: padding is counted on seeded lengths, and nothing is lost or too long, whatever the lengths."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.scoring.filling import BUCKETS, COMPILATION, STEP, Limits, bucket_of, fill_rows, row_cost
from remid_jax.scoring.packing import plan_rows
from remid_jax.scoring.requests import Continuation, Request

SMOLLM2 = Limits(max_row=2048, attention_knee=2048.0)


def ragged(count, seed):
    """Pairs of 45 to 320 tokens that share nothing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for length in rng.integers(45, 321, count):
        ids = rng.integers(2, 40_000, length).tolist()
        answered = int(rng.integers(5, length // 2))
        pairs.append(Request(ids[:-answered], [Continuation(ids[-answered:])]))
    return pairs


def matrix(seed):
    """8 contexts of about 190 tokens, and 16 replies of about 12 to each of them."""
    rng = np.random.default_rng(seed)
    replies = [Continuation(rng.integers(2, 40_000, length).tolist()) for length in rng.integers(6, 18, 16)]
    return [Request(rng.integers(2, 40_000, length).tolist(), replies) for length in rng.integers(130, 245, 8)]


def computed(plan):
    """Tokens that a device computes, filler among them."""
    shapes = collections.Counter((row.bucket, step) for row, step in zip(plan.rows, plan.steps, strict=True))
    return sum(-(-count // step) * step * bucket for (bucket, step), count in shapes.items())


@pytest.mark.parametrize(
    ("requests", "most"),
    [(ragged(64, seed), 0.10) for seed in range(8)]
    + [(matrix(seed), 0.10) for seed in range(8)]
    + [(ragged(1000, seed), 0.05) for seed in range(2)],
)
def test_padding_is_bounded(requests, most):
    plan = plan_rows(requests, SMOLLM2)
    answers = {tuple(c.ids) for request in requests for c in request.continuations}
    contexts = [request.prefix for request in requests]
    shared = len(requests[0].continuations)
    needed = sum(map(len, contexts)) + sum(map(len, answers)) * (len(contexts) if shared > 1 else 1)
    assert sum(len(row.tokens) for row in plan.rows) <= 1.02 * needed  # little is encoded twice
    assert 1 - needed / computed(plan) <= most


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(0, 30), st.sampled_from([64, 100, 512, 2048]),
    st.sampled_from([64, 1000, 8192]), st.sampled_from([1, 4]),
)  # fmt: skip
def test_every_tree_stands_in_one_row_that_is_long_enough(lengths, head, max_row, tokens_per_step, shares):
    trees = [head + length for length in lengths]
    limits = Limits(max_row, 500.0, tokens_per_step, shares)
    rows = fill_rows(trees, [tree**2 for tree in trees], head, limits)
    assert sorted(itertools.chain(*rows)) == list(range(len(trees)))
    for row in rows:
        assert len(row) == 1 or head + sum(trees[n] - head for n in row) <= max_row


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(BUCKETS[:14]), st.integers(1, 70), st.sampled_from([64, 2048, 8192]), st.sampled_from([1, 2, 8]))
def test_steps_are_powers_of_two_and_cost_what_they_say(bucket, count, tokens_per_step, shares):
    limits = Limits(2048, 2048.0, tokens_per_step, shares)
    steps = limits.steps(bucket, count)
    for size, _ in steps.runs:
        a_device = size // shares
        assert size % shares == 0
        assert a_device & (a_device - 1) == 0
        assert size * bucket <= max(tokens_per_step, bucket * shares)
    assert len(list(steps.sizes())) == steps.rows >= count

    def cost(counts):
        rows = sum(size * number for size, number in counts.items())
        return rows * row_cost(bucket, 2048.0) + COMPILATION * len(counts) + STEP * sum(counts.values())

    assert cost(dict(steps.runs)) <= min(cost({size: -(-count // size)}) for size in limits.sizes(bucket))


def test_the_last_step_shrinks():
    assert SMOLLM2.sizes(512) == [4, 2, 1]
    assert SMOLLM2.sizes(64) == [32, 16, 8]
    assert SMOLLM2.steps(512, 9).runs == ((4, 2), (1, 1))
    assert SMOLLM2.steps(512, 11).runs == ((2, 5), (1, 1))  # a compilation less than with steps of four
    assert SMOLLM2.steps(256, 15).runs == ((8, 2),)  # one row of filler is cheaper than two compilations
    assert Limits(2048, 2048.0, 2048, shares=8).steps(256, 9).runs == ((8, 2),)


def test_bucket_table_is_ascending_and_bounds_padding():
    steps = [b / a for a, b in itertools.pairwise(BUCKETS)]
    assert list(BUCKETS) == sorted(set(BUCKETS))
    assert all(bucket % 64 == 0 for bucket in BUCKETS)
    assert max(steps[2:]) <= 5 / 4
    assert [bucket_of(length) for length in (1, 64, 65, 28_672)] == [64, 64, 128, 28_672]
