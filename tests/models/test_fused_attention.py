"""Fused attention, run in plain JAX, against a dense one in float64; how it lowers for devices that are not here."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerators import PLATFORMS
from dense_attention import check, random_case, run
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.models.attention import fused_gpu, fused_tpu
from remid_jax.models.attention.attend import BLOCK, attend
from remid_jax.models.attention.blocks import attend_blocks, mix_plain
from remid_jax.models.attention.fused import mix_fused
from remid_jax.models.attention.tiles import walk
from remid_jax.models.attention.visibility import UNLIMITED

BACKENDS = pytest.mark.parametrize("backend", [fused_tpu, fused_gpu])
CASES = st.fixed_dictionaries({
    "seed": st.integers(0, 2**20), "length": st.integers(1, 200), "window": st.sampled_from([None, 1, 7, 100, UNLIMITED]),
    "softcap": st.sampled_from([None, 3.0]), "heads": st.sampled_from([2, 6]), "size": st.sampled_from([8, 24]),
})  # fmt: skip


def fused(backend, block):
    return functools.partial(attend_blocks, block=block, mix=mix_fused(backend, interpret=True))


@BACKENDS
@settings(max_examples=6, deadline=None)
@given(options=CASES, block=st.sampled_from([8, 16, 64]))
def test_kernels_equal_dense_attention(backend, options, block):
    check(fused(backend, block), random_case(**options))


@BACKENDS
@pytest.mark.parametrize(("length", "options"), [
    (513, {"softcap": 10.0}), (1100, {"window": 300}), (2048, {"window": 700, "softcap": 10.0}),
])  # fmt: skip
def test_kernels_equal_dense_attention_on_long_rows(backend, length, options):
    check(fused(backend, BLOCK), random_case(length, length, rows=1, heads=2, kv_heads=1, **options))


@BACKENDS
def test_one_token_sees_itself(backend):
    check(fused(backend, BLOCK), random_case(0, 1))


@BACKENDS
def test_each_row_walks_over_its_own_blocks(backend):
    """A row of short texts beside one of a single text: both are as they are alone."""
    case = random_case(1, 96, rows=2)
    ends = np.stack([np.repeat(np.arange(1, 13) * 8, 8), np.full(96, 96)]).astype(np.int32)

    def mixed(rows):
        q, k, v = (a[rows] for a in (case.q, case.k, case.v))
        return np.asarray(fused(backend, 8)(q, k, v, case.positions[rows], ends[rows], None, case.scale, None))

    np.testing.assert_array_equal(mixed(slice(0, 2)), np.concatenate([mixed(slice(0, 1)), mixed(slice(1, 2))]))


@BACKENDS
def test_blocks_that_nobody_sees_are_never_read(backend):
    """Two texts of 512 tokens in a row: what is no number in the first reaches nothing of the second."""
    case = random_case(2, 1024, rows=1, heads=2, kv_heads=1)
    ends, positions = np.repeat([[512, 1024]], 512, axis=1).astype(np.int32), np.tile(np.arange(512, dtype=np.int32), 2)[None]
    case = dataclasses.replace(case, ends=ends, positions=positions)

    def second(poison):
        first = np.where(np.arange(1024) < 512, poison, 0).astype(np.float32)[:, None]
        q, k, v = (a + first for a in (case.q, case.k, case.v))
        mixed, gradients = run(fused(backend, BLOCK), dataclasses.replace(case, q=q, k=k, v=v))
        return mixed[:, 512:], *(a[:, :, 512:] for a in gradients)

    poisoned, whole = second(np.nan), second(0)
    assert all(np.isfinite(a).all() for a in whole)
    jax.tree.map(np.testing.assert_array_equal, poisoned, whole)


def test_a_list_stays_at_its_last_block():
    order, counts = walk(jnp.asarray([[False, True, False, True], [False] * 4, [True] * 4]))
    np.testing.assert_array_equal(order, [[1, 3, 3, 3], [0, 0, 0, 0], [0, 1, 2, 3]])
    np.testing.assert_array_equal(counts, [2, 0, 4])


@BACKENDS
def test_kernels_in_bfloat16_stay_within_its_rounding(backend):
    case = random_case(0, 300)
    low = [jnp.asarray(a, jnp.bfloat16) for a in (case.q, case.k, case.v)]
    someone = case.seen().any(axis=2)

    def whole(way, q, k, v):
        return jax.vjp(lambda q, k, v: way(q, k, v, case.positions, case.ends, None, case.scale, None), q, k, v)

    mixed, back = whole(fused(backend, 64), *low)
    exact, exact_back = whole(functools.partial(attend_blocks, block=64), *(a.astype(jnp.float32) for a in low))
    assert mixed.dtype == jnp.float32
    # As for the plain blocks: weights are rounded to 8 bits before they meet the values.
    np.testing.assert_allclose(np.asarray(mixed)[someone], np.asarray(exact)[someone], atol=2**-8 * np.abs(case.v).max())
    for got, want in zip(back(jnp.asarray(case.change)), exact_back(jnp.asarray(case.change)), strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(got, np.float32), want, atol=2**-6 * np.abs(want).max())


def test_a_cpu_takes_the_plain_blocks_to_the_bit():
    case = random_case(7, 700, window=100, softcap=3.0)
    jax.tree.map(
        np.testing.assert_array_equal,
        run(attend, case),
        run(functools.partial(attend_blocks, block=BLOCK, mix=mix_plain), case),
    )


def test_a_cpu_needs_no_more_memory_than_for_the_plain_blocks():
    def needed(way):
        q, k, v = (jax.ShapeDtypeStruct((1, n, 8192, 64), jnp.float32) for n in (4, 2, 2))
        slots = jax.ShapeDtypeStruct((1, 8192), jnp.int32)
        step = jax.grad(lambda q, k, v, *tree: (way(q, k, v, *tree, None, 0.125, None) ** 2).sum(), (0, 1, 2))
        return jax.jit(step).lower(q, k, v, slots, slots).compile().memory_analysis().temp_size_in_bytes

    assert needed(attend) == needed(functools.partial(attend_blocks, block=BLOCK, mix=mix_plain))


# heads, key heads, their size, softcap, window
SHAPES = {
    "Qwen3-8B": (32, 8, 128, None, False), "Gemma 3 270M": (4, 1, 256, None, True), "SmolLM2-135M": (9, 3, 64, None, False),
    "a size of no power of two": (4, 2, 80, 50.0, False),
}  # fmt: skip


def lowered(platform, shape, dtype, length):
    heads, kv_heads, size, softcap, windowed = SHAPES[shape]

    def step(q, k, v, positions, ends, window):
        def mixed(q, k, v):
            return attend(q, k, v, positions, ends, window if windowed else None, size**-0.5, softcap)

        out, back = jax.vjp(mixed, q, k, v)
        return out, back(out)

    q, k, v = (jax.ShapeDtypeStruct((2, n, length, size), dtype) for n in (heads, kv_heads, kv_heads))
    slots = jax.ShapeDtypeStruct((2, length), jnp.int32)
    given = (q, k, v, slots, slots, jax.ShapeDtypeStruct((), jnp.int32))
    return jax.jit(step).trace(*given).lower(lowering_platforms=(platform,)).as_text()


@PLATFORMS
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_lower_for_accelerators(platform, kernel, dtype, shape):
    text = lowered(platform, shape, dtype, 8192)
    assert len(re.findall(rf"custom_call @\S*{kernel}", text)) == 3  # forward, to queries, to keys and values
    assert "8192x8192" not in text


@PLATFORMS
def test_programs_for_accelerators_do_not_grow_with_length(platform, kernel):
    short, long = (lowered(platform, "Qwen3-8B", jnp.bfloat16, length).count("\n") for length in (1024, 4096))
    assert short == long
