"""Compiles the steps of a Qwen3-shaped model for TPUs or GPUs that are not there, with their own compilers: do they take them,
how much memory do they want?

    pip install 'jax[tpu]'                                  # brings libtpu, and so the compiler
    python -m benchmarks.absent_devices --devices=v5e:2x2
    pip install 'jax[cuda12]'
    python -m benchmarks.absent_devices --devices=H100:4

Nothing runs, so speed stays unknown. Memory is a device's own: what a step is given, and what it takes for itself.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks.random_qwen3 import SIZES, qwen3
from remid_jax.models.attention.attend import attend
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import structure
from remid_jax.models.decoding import unstacked
from remid_jax.models.sampling import Patience, Prompts, Sampler, decode, empty_rows, encode
from remid_jax.parallel import Devices, parameter_shardings
from remid_jax.scoring.kernel import Batch, score_batch

DEVICES = flags.DEFINE_string("devices", "v5e:2x2", "What to compile for: a topology of TPUs, or a card and how many of it.")
SIZE = flags.DEFINE_enum("size", "8b", list(SIZES), "The model.")
MODEL_AXIS = flags.DEFINE_integer("mesh_model", 4, "Devices over which each parameter is split.")
LENGTHS = flags.DEFINE_multi_integer("length", [512, 2048, 8192], "Row lengths.")
DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "Of the weights.")
ROWS = flags.DEFINE_integer("rows", 64, "Replies that a device samples at once.")
# Query heads, key heads, their size, window and softcap of layers unlike Qwen3's.
CARDS = {"H100": (9, 0, 132, 232_448), "A100": (8, 0, 108, 166_912)}  # capability, cores, bytes of shared memory of a block
LAYERS = {"Gemma 3 270M": (4, 1, 256, 512, None), "Gemma 2 2B": (8, 4, 256, 4096, 50.0), "SmolLM2 135M": (9, 3, 64, None, None)}


class Absent(Devices):
    """Devices of which only the mesh is known."""

    def __init__(self, mesh: Mesh):
        self.parallel, self.mesh, self.rows = "mesh", mesh, mesh.shape["data"]


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    jax.config.update("jax_platforms", "cpu")
    devices = absent(*DEVICES.value.split(":"))
    grid = np.array(devices).reshape(-1, MODEL_AXIS.value)
    present, one = (Absent(Mesh(a, ("data", "model"), axis_types=(AxisType.Auto,) * 2)) for a in (grid, grid[:1, :1]))
    config = qwen3(SIZE.value)
    print(f"{len(devices)} x {devices[0].device_kind}, {SIZE.value}, {DTYPE.value}, parameters over {MODEL_AXIS.value}")
    print(f"{'step':44} {'compiled in s':>13} {'given MiB':>10} {'own MiB':>8}")
    params = parameters(config, present.mesh)
    for length in LENGTHS.value:
        rows = max(1, LENGTHS.value[-1] // length) * present.rows
        step = functools.partial(score_batch, config)
        ints = laid(present, jax.ShapeDtypeStruct((rows, length), jnp.int32))
        batch = Batch(*[ints] * 5, laid(present, jax.ShapeDtypeStruct((rows,), jnp.int32)))  # type: ignore[call-arg]
        show(f"score {rows} rows of {length} tokens", present, step, params, batch)
    show_sampling(config, present, params, LENGTHS.value[0])
    for name, layer in LAYERS.items():
        show_attention(name, layer, one, LENGTHS.value[-1])


def absent(name: str, shape: str) -> Sequence[Any]:
    """Devices to compile for, by a card's name and number or a TPU's and its topology."""
    if name not in CARDS:
        return topologies.get_topology_desc(platform="tpu", topology_name=f"{name}:{shape}").devices
    jax.devices("cpu")  # plugins are looked for as the first device is
    major, minor, cores, shared = CARDS[name]
    target = f"""
        gpu_device_info {{
          threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: {cores}
          fpus_per_core: 128 shared_memory_per_block: 49152 shared_memory_per_block_optin: {shared}
          shared_memory_per_core: {shared + 1024} block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
          block_dim_limit_z: 65535 registers_per_core_limit: 65536 registers_per_block_limit: 65536
          memory_bandwidth: 2000000000000 l2_cache_size: 41943040 clock_rate_ghz: 1.5 device_memory_size: 85000000000
          cuda_compute_capability {{ major: {major} minor: {minor} }}
        }}
        platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 1 }} device_description_str: "{name}"
    """
    found = topologies.get_topology_desc("gpu", "cuda", topology=f"1x1x{shape}", target_config=target)
    return found.devices


def parameters(config: DecoderConfig, mesh: Mesh) -> Any:
    """Shapes of all parameters, each where `remid_jax.parallel` lays it."""
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.dtype(DTYPE.value)), structure(config)[1])
    return jax.tree.map(at, shapes, parameter_shardings(shapes, mesh))


def at(shape: jax.ShapeDtypeStruct, where: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=where)


def laid(devices: Devices, shapes: Any) -> Any:
    """Shapes whose rows lie along the data axis."""
    where = NamedSharding(devices.mesh, PartitionSpec("data"))
    return jax.tree.map(lambda a: at(a, where), shapes)


def show_sampling(config: DecoderConfig, devices: Devices, params: Any, length: int) -> None:
    count, slots = ROWS.value * devices.rows, length + 64
    ints = jax.ShapeDtypeStruct((devices.rows, length), jnp.int32)
    prompts = laid(devices, Prompts(ints, ints, ints, ints, jax.ShapeDtypeStruct((devices.rows, 8), jnp.int32)))
    show(f"encode {devices.rows} rows of {length} tokens", devices, functools.partial(encode, config, slots), params, prompts)
    layers = devices.spread(functools.partial(unstacked, config)).lower(params).compile()
    placed = jax.tree.map(at, layers.out_info, layers.output_shardings)
    emptying = devices.making_rows(lambda n: empty_rows(config, n, slots, 64, jnp.dtype(DTYPE.value)), count)
    empty = emptying.lower().compile()  # type: ignore[attr-defined]
    rows = jax.tree.map(at, empty.out_info, empty.output_shardings)
    patience = laid(devices, Patience(*[jax.ShapeDtypeStruct((devices.rows,), jnp.int32)] * 2))
    step = functools.partial(decode, config, Sampler(0, (0,)), 16, devices.total)
    show(f"decode {count} rows of {slots} slots", devices, step, params, placed, rows, patience, donate=(2,))


def show_attention(name: str, layer: tuple[int, int, int, int | None, float | None], devices: Devices, length: int) -> None:
    heads, kv_heads, size, window, softcap = layer
    dtype = jnp.dtype(DTYPE.value)
    shapes = laid(devices, [jax.ShapeDtypeStruct((2, n, length, size), dtype) for n in (heads, kv_heads, kv_heads)])
    ints = laid(devices, jax.ShapeDtypeStruct((2, length), jnp.int32))

    def mixed(q: Any, k: Any, v: Any, positions: Any, ends: Any) -> Any:
        reach = None if window is None else jnp.int32(window)
        return attend(q, k, v, positions, ends, reach, size**-0.5, softcap)

    def gradients(q: Any, k: Any, v: Any, *tree: Any) -> Any:
        return jax.grad(lambda *given: (mixed(*given, *tree) ** 2).sum(), (0, 1, 2))(q, k, v)

    show(f"attention of {name}, 2 rows of {length}", devices, mixed, *shapes, ints, ints)
    show("  its gradients", devices, gradients, *shapes, ints, ints)


def show(name: str, devices: Devices, step: Callable[..., Any], *given: Any, donate: tuple[int, ...] = ()) -> None:
    """Compiles a step and prints its line; where the compiler refuses it, why."""
    begin = time.perf_counter()
    try:
        memory = devices.spread(step, donate).lower(*given).compile().memory_analysis()
    except jax.errors.JaxRuntimeError as refusal:
        print(f"{name:44} refused: {str(refusal).splitlines()[0][:300]}", flush=True)
        return
    sizes = memory.argument_size_in_bytes / 2**20, memory.temp_size_in_bytes / 2**20
    print(f"{name:44} {time.perf_counter() - begin:13.1f} {sizes[0]:10.0f} {sizes[1]:8.0f}", flush=True)


if __name__ == "__main__":
    app.run(main)
