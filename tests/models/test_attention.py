"""Attention over token trees against a dense one in float64; what it needs at lengths no test machine can run."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_attention import check, random_case, run
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.models.attention.attend import BLOCK, LONGEST_TRIANGLE, attend
from remid_jax.models.attention.blocks import attend_blocks
from remid_jax.models.attention.triangle import attend_triangle
from remid_jax.models.attention.visibility import UNLIMITED, strips, visible_blocks

CASES = st.fixed_dictionaries({
    "seed": st.integers(0, 2**20), "window": st.sampled_from([None, 1, 7, 100, UNLIMITED]),
    "softcap": st.sampled_from([None, 3.0]), "heads": st.sampled_from([2, 6]),
})  # fmt: skip


@settings(max_examples=5, deadline=None)
@given(CASES, st.integers(1, 200))
def test_triangle_equals_dense_attention(options, length):
    check(attend_triangle, random_case(length=length, **options))


@settings(max_examples=8, deadline=None)
@given(CASES, st.integers(1, 200), st.sampled_from([8, 16, 64]))
def test_blocks_equal_dense_attention(options, length, block):
    check(functools.partial(attend_blocks, block=block), random_case(length=length, **options))


@pytest.mark.parametrize("length", [LONGEST_TRIANGLE + 1, 2048])
def test_long_rows_equal_dense_attention(length):
    check(attend, random_case(length, length, rows=1, heads=2, kv_heads=1, window=length // 3, softcap=10.0))


def test_blocks_in_bfloat16_stay_within_its_rounding():
    case = random_case(0, 300)
    low = [jnp.asarray(a, jnp.bfloat16) for a in (case.q, case.k, case.v)]
    someone = case.seen().any(axis=2)
    mixed = attend_blocks(*low, case.positions, case.ends, None, case.scale, None, 64)
    assert mixed.dtype == jnp.float32
    exact = attend_triangle(*(a.astype(jnp.float32) for a in low), case.positions, case.ends, None, case.scale, None)
    # Weights are rounded to 8 bits before they meet the values: at most 2^-9 of the largest value, twice (weights, their sum).
    np.testing.assert_allclose(np.asarray(mixed)[someone], np.asarray(exact)[someone], atol=2**-8 * np.abs(case.v).max())


@settings(max_examples=30, deadline=None)
@given(CASES, st.integers(1, 12))
def test_a_pair_of_blocks_is_skipped_only_if_nobody_sees_anyone(options, count):
    case = random_case(length=8 * count, **options)
    window = None if case.window is None else jnp.int32(case.window)
    pairs = np.asarray(visible_blocks(jnp.asarray(case.positions), jnp.asarray(case.ends), window, 8))
    assert not (case.seen().reshape(-1, count, 8, count, 8).any(axis=(2, 4)) & ~pairs).any()


@given(st.lists(st.lists(st.booleans(), min_size=13, max_size=13), min_size=1, max_size=3))
def test_strips_cover_each_seen_block_once_and_each_run_by_as_few_as_can_be(seen):
    covered, widths = np.zeros((len(seen), 13), int), [[] for _ in seen]
    for width, (order, counts) in zip((4, 2, 1), strips(jnp.array(seen), (4, 2, 1)), strict=True):
        for row, of_row in enumerate(widths):
            for first in map(int, order[row, : int(counts[row])]):
                covered[row, first : first + width] += 1
                of_row.append(width)
    np.testing.assert_array_equal(covered, np.array(seen, int))
    tails = {0: [], 1: [1], 2: [2], 3: [2, 1]}
    for shown, of_row in zip(seen, widths, strict=True):
        runs = [len(list(run)) for is_seen, run in itertools.groupby(shown) if is_seen]
        assert sorted(of_row) == sorted(width for length in runs for width in [4] * (length // 4) + tails[length % 4])


def test_texts_side_by_side_skip_each_others_blocks():
    ends = jnp.repeat(jnp.arange(1, 9) * 256, 256)[None]
    positions = jnp.tile(jnp.arange(256), 8)[None]
    assert visible_blocks(positions, ends, None, 128).sum() == 8 * 3  # of 136 in a row of one text
    assert visible_blocks(jnp.arange(2048)[None], jnp.full((1, 2048), 2048), jnp.int32(128), 128).sum() == 16 + 15


def test_layers_share_one_program_whatever_their_window():
    """`is_sliding` is traced in the scan over layers: a window that nothing reaches is none."""
    case = random_case(3, 100, window=UNLIMITED)
    whole, none = (run(functools.partial(attend_blocks, block=16), c) for c in (case, random_case(3, 100)))
    jax.tree.map(np.testing.assert_array_equal, whole, none)


def lowered(length, gradients, heads=4, kv_heads=2, size=64):
    def shape(n):
        return jax.ShapeDtypeStruct((1, n, length, size), jnp.float32)

    def mixed(q, k, v, positions, ends):
        return attend(q, k, v, positions, ends, None, 0.125, None)

    def loss(*given):
        return (mixed(*given) ** 2).sum()

    ints = jax.ShapeDtypeStruct((1, length), jnp.int32)
    step = jax.grad(loss, (0, 1, 2)) if gradients else mixed
    return jax.jit(step).lower(shape(heads), shape(kv_heads), shape(kv_heads), ints, ints)


@pytest.mark.parametrize("gradients", [False, True])
def test_memory_at_8192_tokens_is_under_twice_the_activations(gradients):
    """Activations: q, k, v and what is mixed of them; with gradients, also theirs."""
    analysis = lowered(8192, gradients).compile().memory_analysis()
    activations = (4 + 2 + 2 + 4) * 8192 * 64 * 4 * (2 if gradients else 1)
    peak = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    print(f"peak {peak / 2**20:.1f} MiB, activations {activations / 2**20:.1f} MiB")
    assert peak < 2 * activations
    assert activations < 8192**2 * 4 / 2


@pytest.mark.parametrize("gradients", [False, True])
def test_the_program_does_not_grow_with_length(gradients):
    short, long = (lowered(length, gradients).as_text().count("\n") for length in (1024, 4096))
    assert short == long
    assert LONGEST_TRIANGLE % BLOCK == 0
