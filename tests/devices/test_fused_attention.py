"""Fused attention on eight devices: each works on its own rows and key heads, and no kernel is copied to all."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerators import PLATFORMS
from dense_attention import dense, random_case
from jax.sharding import NamedSharding, PartitionSpec

from remid_jax.models.attention import fused_gpu, fused_tpu
from remid_jax.models.attention.blocks import attend_blocks
from remid_jax.models.attention.fused import mix_fused
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import structure
from remid_jax.parallel import Devices, parameter_shardings
from remid_jax.scoring.kernel import Batch, score_batch

MOVES = r" (?:all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)\("


@pytest.mark.parametrize("backend", [fused_tpu, fused_gpu])
@pytest.mark.parametrize(("model_axis", "splits"), [(1, True), (2, True), (4, False)])
def test_kernels_split_by_rows_and_key_heads(backend, model_axis, splits):
    """Four devices do not divide two key heads: those work on whole rows."""
    assert jax.device_count() == 8
    case = random_case(5, 48, rows=8, heads=4, kv_heads=2, window=9)
    devices = Devices("mesh", model_axis)

    @devices.spread
    def whole(q, k, v, positions, ends, change):
        way = functools.partial(attend_blocks, block=8, mix=mix_fused(backend, interpret=True))
        mixed, back = jax.vjp(lambda q, k, v: way(q, k, v, positions, ends, jnp.int32(9), case.scale, None), q, k, v)
        return mixed, back(change)

    def placed(array, *axes):
        return jax.device_put(array, NamedSharding(devices.mesh, PartitionSpec("data", *axes)))

    heads = placed(case.q, "model"), *(placed(a, "model" if splits else None) for a in (case.k, case.v))
    given = *heads, placed(case.positions), placed(case.ends), placed(case.change, None, "model")
    program = whole.lower(*given).compile()
    (mixed, gradients), (expected, expected_gradients) = program(*given), dense(case)
    someone = case.seen().any(axis=2)
    np.testing.assert_allclose(np.asarray(mixed)[someone], expected[someone], atol=1e-5)
    for got, want in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    assert bool(re.search(MOVES, program.as_text())) != splits
    assert mixed.sharding.shard_shape(mixed.shape)[0] == model_axis  # 8 rows on 8 / model_axis devices


@PLATFORMS
def test_the_scoring_kernel_lowers_for_several_accelerators(platform, kernel):
    devices = Devices("mesh", 2)
    config = DecoderConfig("qwen3", 1024, 64, 2, 4, 2, 16, 128, 1e-6, Rope(1e6), 40_960, True, qk_norm=True)
    shapes = structure(config)[1]
    params = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16, sharding=sharding),
        shapes, parameter_shardings(shapes, devices.mesh),
    )  # fmt: skip
    rows = NamedSharding(devices.mesh, PartitionSpec("data"))
    row = jax.ShapeDtypeStruct((4, 8192), jnp.int32, sharding=rows)
    batch = Batch(row, row, row, row, row, jax.ShapeDtypeStruct((4,), jnp.int32, sharding=rows))
    step = devices.spread(functools.partial(score_batch, config))
    text = step.trace(params, batch).lower(lowering_platforms=(platform,)).as_text()
    assert len(re.findall(rf"custom_call @\S*{kernel}", text)) == 1
    assert "8192x8192" not in text
