"""The compiled steps at sizes no test machine can run: what they would need, and that TPUs and GPUs would take them."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
from accelerators import PLATFORMS
from tiny import CONFIG

from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import TokenTree, bind, structure
from remid_jax.models.decoding import unstacked
from remid_jax.models.sampling import Patience, Prompts, Sampler, Seats, decode, empty_rows, encode, enter
from remid_jax.parallel import Devices
from remid_jax.scoring.kernel import Batch, score_batch

QWEN3_8B = DecoderConfig(
    "qwen3", 151_936, 4096, 36, 32, 8, 128, 12_288, 1e-6, Rope(1e6), 40_960, tied_embeddings=False, qk_norm=True
)


def shapes(config, dtype):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype), structure(config)[1])


def batch_shapes(rows, length):
    whole = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    return Batch(whole, whole, whole, whole, whole, jax.ShapeDtypeStruct((rows,), jnp.int32))


def test_the_head_needs_under_an_eighth_of_the_memory_of_dense_logits():
    config, rows, length = dataclasses.replace(CONFIG, vocab_size=262_144), 4, 512

    def dense(params, batch):
        model = bind(config, params)
        logits = model.logits(model(batch.tokens, TokenTree(batch.positions, batch.ends)))
        return jnp.take_along_axis(jax.nn.log_softmax(logits), batch.targets[..., None], axis=-1)[..., 0]

    def temporary(step):
        compiled = jax.jit(step).lower(shapes(config, jnp.float32), batch_shapes(rows, length)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    tiled, whole = temporary(functools.partial(score_batch, config)), temporary(dense)
    print(f"temporary memory: {tiled / 2**20:.0f} MiB in tiles, {whole / 2**20:.0f} MiB dense, ratio {tiled / whole:.4f}")
    assert whole > rows * length * config.vocab_size * 4
    assert tiled < whole / 8


@PLATFORMS
def test_scoring_lowers_at_the_shapes_of_qwen3_8b(platform, kernel):
    """Attention is one call of a kernel, in the scan over layers, and no array is as large as all pairs of tokens."""
    step = jax.jit(functools.partial(score_batch, QWEN3_8B))
    traced = step.trace(shapes(QWEN3_8B, jnp.bfloat16), batch_shapes(4, 8192))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert traced.out_info.shape == (4, 8192)
    assert len(re.findall(rf"custom_call @\S*{kernel}", text)) == 1
    assert "8192x8192" not in text


@PLATFORMS
def test_sampling_lowers_at_the_shapes_of_qwen3_8b(platform, kernel):
    params, sampler = shapes(QWEN3_8B, jnp.bfloat16), Sampler(0, (151_645,), top_k=20, top_p=0.8)
    prompts = Prompts(*[jax.ShapeDtypeStruct((1, 3072), jnp.int32)] * 4, jax.ShapeDtypeStruct((1, 2), jnp.int32))
    start = functools.partial(encode, QWEN3_8B, 4096)
    encoded = jax.eval_shape(start, params, prompts)
    rows = jax.eval_shape(functools.partial(empty_rows, QWEN3_8B, 32, 4096, 256, jnp.bfloat16))
    wishes = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, 32, *a.shape[1:]), a.dtype), rows.wishes)
    seats = Seats(*[wishes.limits] * 4, wishes)
    layers = jax.eval_shape(functools.partial(unstacked, QWEN3_8B), params)
    share = jax.ShapeDtypeStruct((1,), jnp.int32)

    def lowered(step, *arguments):
        traced = jax.jit(step).trace(*arguments)
        traced.lower(lowering_platforms=(platform,))
        return traced.out_info

    assert lowered(start, params, prompts).keys.shape == (1, 36, 8, 128, 3072 + 4096)
    entered = lowered(functools.partial(enter, sampler), rows, encoded, seats)
    assert entered == rows
    step = functools.partial(decode, QWEN3_8B, sampler, 16, Devices().total)
    went_on = lowered(step, params, layers, entered, Patience(share, share))
    assert went_on == rows
    assert went_on.cache.values[35].shape == (32, 8, 4096, 128)
    assert went_on.tokens.shape == (32, 256)
