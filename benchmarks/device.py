"""What a device does with a random Qwen3-shaped model: attention, fused and by plain blocks, scoring and sampling speed, and
what bfloat16 costs in exactness.

    python -m benchmarks.device --size=8b --peak_tflops=989     # an H100's dense bfloat16 peak
    python -m benchmarks.device                                 # anywhere

The latter on one CPU core, no accelerator having been at hand:

    1 x cpu, toy: 0.04e9 parameters
    scoring, bfloat16
    bucket  rows   ms/step   tokens/s  TFLOP/s  of peak  temporary MiB
       256    16     852.0       4808     0.23        -             78
       512     8     858.1       4773     0.23        -             78
      1024     4     921.2       4447     0.23        -            100
      2048     2    1023.3       4003     0.22        -            146
    sampling, 8 prompts of 256 tokens: encoded in 81.5 ms, then 44.4 steps/s, 355 tokens/s
    float32 / bfloat16, time of a step: 1.70
    bfloat16 - float32, nats a token: mean +7.5e-06, mean size 1.1e-03, largest 5.0e-03
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from flax import nnx

from benchmarks.random_qwen3 import SIZES, qwen3, random_params
from remid_jax.models.attention.attend import BLOCK
from remid_jax.models.attention.blocks import Mix, attend_blocks, mix_plain
from remid_jax.models.attention.fused import mix_by_platform
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoding import unstacked
from remid_jax.models.sampling import Patience, Prompts, Sampler, decode, empty_rows, encode
from remid_jax.parallel import Devices
from remid_jax.scoring.kernel import Batch, score_batch

SIZE = flags.DEFINE_enum("size", "toy", list(SIZES), "The model.")
PEAK = flags.DEFINE_float("peak_tflops", None, "bfloat16 peak of one device: prints the share of it that was used.")
BANDWIDTH = flags.DEFINE_float("bandwidth", None, "Memory of one device, GB a second: prints the share of it that was used.")
BUCKETS = flags.DEFINE_multi_integer("bucket", [256, 512, 1024, 2048], "Row lengths to score.")
TOKENS = flags.DEFINE_integer("tokens_per_step", 4096, "Tokens a device scores at once.")
ROWS = flags.DEFINE_integer("rows", 8, "Replies a device samples at once, to prompts as long as the first bucket.")
MODEL_AXIS = flags.DEFINE_integer("mesh_model", 1, "Devices over which each parameter is split.")
STEPS = 16  # new tokens a decode call


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    devices = Devices("mesh", MODEL_AXIS.value)
    config = qwen3(SIZE.value)
    params = random_params(config, devices)
    count = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e9
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, {SIZE.value}: {count:.2f}e9 parameters")
    print_attention(config, max(BUCKETS.value))
    print("scoring, bfloat16\nbucket  rows   ms/step   tokens/s  TFLOP/s  of peak  temporary MiB")
    for bucket in BUCKETS.value:
        print_scoring(config, params, devices, bucket)
    print_sampling(config, params, devices, BUCKETS.value[0])
    print_rounding(config, params, devices, BUCKETS.value[0])


def print_scoring(config: DecoderConfig, params: nnx.State, devices: Devices, bucket: int) -> None:
    rows = max(1, TOKENS.value // bucket) * devices.rows
    batch = random_rows(config, devices, rows, bucket)
    step = devices.spread(functools.partial(score_batch, config)).lower(params, batch).compile()
    seconds = statistics.median(timings(lambda: step(params, batch), 5))
    used = rows * useful_flops(config, bucket) / seconds / 1e12
    share = f"{used / PEAK.value / jax.device_count():.1%}" if PEAK.value else "-"
    memory = step.memory_analysis().temp_size_in_bytes / 2**20
    print(f"{bucket:6} {rows:5} {seconds * 1e3:9.1f} {rows * bucket / seconds:10.0f} {used:8.2f} {share:>8} {memory:14.0f}")


def print_attention(config: DecoderConfig, length: int) -> None:
    """One layer's attention in rows of one text, on one device: by the way of the platform, and by plain blocks."""
    rows = max(1, TOKENS.value // length)
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = ((rows, n, length, config.head_size) for n in (config.heads, config.kv_heads, config.kv_heads))
    q, k, v = (jax.random.normal(key, shape, jnp.bfloat16) for key, shape in zip(keys, shapes, strict=True))
    positions = jnp.broadcast_to(jnp.arange(length), (rows, length))

    def mixed(mix: Mix, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        scale = config.head_size**-0.5
        return attend_blocks(q, k, v, positions, jnp.full_like(positions, length), None, scale, None, BLOCK, mix)

    def gradients(mix: Mix, *given: jax.Array) -> tuple[jax.Array, ...]:
        return jax.grad(lambda *given: (mixed(mix, *given) ** 2).sum(), (0, 1, 2))(*given)

    for name, function in (("forward", mixed), ("forward and backward", gradients)):
        steps = [jax.jit(functools.partial(function, mix)) for mix in (mix_by_platform, mix_plain)]
        rounds = [[timings(lambda step=step: step(q, k, v), 1)[0] for step in steps] for _ in range(5)]  # in turn
        fused, plain = (statistics.median(column) for column in zip(*rounds, strict=True))
        found, expected = (jnp.concatenate([a.ravel() for a in jax.tree.leaves(step(q, k, v))]) for step in steps)
        apart = jnp.abs(found.astype(jnp.float32) - expected.astype(jnp.float32)).max() / jnp.abs(expected).max()
        print(
            f"attention of a layer, {rows} rows of {length} tokens, {name}: {fused * 1e3:.2f} ms, by plain blocks "
            f"{plain * 1e3:.2f} ms ({plain / fused:.2f} times as long); largest difference / largest value: {apart:.1e}"
        )


def print_sampling(config: DecoderConfig, params: nnx.State, devices: Devices, length: int) -> None:
    """Rows that all speak for STEPS tokens. Read by a step: the weights and the slots in use."""
    count, sampler = ROWS.value * devices.rows, Sampler(0, ())
    slots = length + 2 * STEPS
    dtype = params["embedding"][...].dtype
    layers = devices.spread(functools.partial(unstacked, config))(params)
    ids = np.random.default_rng(0).integers(config.vocab_size, size=(devices.rows, length)).astype(np.int32)
    slot = np.broadcast_to(np.arange(length, dtype=np.int32), ids.shape)
    last = np.full((devices.rows, 1), length - 1, np.int32)
    prompts = devices.place_batch(Prompts(ids, slot, np.full_like(ids, length), 0 * ids, last))
    start = devices.spread(functools.partial(encode, config, slots))
    encoding = statistics.median(timings(lambda: start(params, prompts), 3))
    rows = devices.making_rows(functools.partial(empty_rows, config, slots=slots, room=2 * STEPS, dtype=dtype), count)()
    limits = devices.place_batch(np.full(count, 2 * STEPS, np.int32))
    speaking = rows._replace(ended=limits < 0, slots=limits - 2 * STEPS + length, wishes=rows.wishes._replace(limits=limits))
    patience = devices.place_batch(Patience(*np.zeros((2, devices.rows), np.int32)))
    go_on = devices.spread(functools.partial(decode, config, sampler, STEPS, devices.total))
    seconds = statistics.median(timings(lambda: go_on(params, layers, speaking, patience), 3)) / STEPS
    weights = sum(a.nbytes for a in jax.tree.leaves(layers)) + params["embedding"][...].nbytes
    cache = 2 * config.layers * config.kv_heads * config.head_size * count * (length + STEPS / 2) * dtype.itemsize
    rate = (weights + cache) / seconds / 1e9 / jax.device_count()
    known = f", {rate / BANDWIDTH.value:.1%} of the memory's rate" if BANDWIDTH.value else ""
    print(f"sampling: a prompt of {length} tokens a device encoded in {encoding * 1e3:.1f} ms; {count} rows: {1 / seconds:.1f} "
          f"steps/s, {count / seconds:.0f} tokens/s, {rate:.0f} GB/s a device{known}")  # fmt: skip


def print_rounding(config: DecoderConfig, params: nnx.State, devices: Devices, bucket: int) -> None:
    """The same weights in bfloat16 and in float32 arithmetic; a trained model's numbers may lie further apart."""
    rows = max(1, TOKENS.value // bucket) * devices.rows
    batch, step = random_rows(config, devices, rows, bucket), devices.spread(functools.partial(score_batch, config))
    exact_params = jax.tree.map(lambda a: a.astype(jnp.float32), params)
    seconds = [statistics.median(timings(lambda p=p: step(p, batch), 3)) for p in (exact_params, params)]
    exact, rounded = (devices.fetch(step(p, batch))[:, : bucket // 2] for p in (exact_params, params))
    print(f"float32 / bfloat16, time of a step: {seconds[0] / seconds[1]:.2f}")
    apart = rounded - exact
    mean, size, largest = apart.mean(), np.abs(apart).mean(), np.abs(apart).max()
    print(f"bfloat16 - float32, nats a token: mean {mean:+.1e}, mean size {size:.1e}, largest {largest:.1e}")


def random_rows(config: DecoderConfig, devices: Devices, rows: int, length: int) -> Batch:
    """Rows of one sequence each, its second half scored."""
    tokens = np.random.default_rng(0).integers(config.vocab_size, size=(rows, length)).astype(np.int32)
    slots, half = np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape), length // 2
    parents, targets = np.zeros_like(tokens), np.zeros_like(tokens)
    parents[:, :half], targets[:, :half] = slots[:, -half:] - 1, tokens[:, -half:]
    batch = Batch(tokens, slots, np.full_like(tokens, length), parents, targets, np.full(rows, half, np.int32))
    return devices.place_batch(batch)


def useful_flops(config: DecoderConfig, length: int) -> float:
    """Of one row of `random_rows`: 2 a weight and token, causal attention, the head at scored positions."""
    c = config
    projections = c.width * c.head_size * (2 * c.heads + 2 * c.kv_heads) + 3 * c.width * c.mlp_width
    attention = 4 * c.heads * c.head_size * length * (length + 1) / 2
    return c.layers * (2 * projections * length + attention) + 2 * c.width * c.vocab_size * (length // 2)


def timings(run: Callable[[], Any], times: int) -> list[float]:
    """Seconds of each of `times` runs, after one that does not count."""
    seconds = []
    for _ in range(times + 1):
        begin = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


if __name__ == "__main__":
    app.run(main)
