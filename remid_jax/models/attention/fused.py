"""Attention over blocks by the way of the platform that a program is lowered for: fused kernels on TPUs and NVIDIA's GPUs.

Where devices share a program, each runs the kernel on its own rows and key heads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float

from remid_jax.models.attention import fused_gpu, fused_tpu
from remid_jax.models.attention.blocks import Blocks, Mix, backward_plain, differentiable, forward_plain
from remid_jax.models.attention.softmax import Manner
from remid_jax.models.attention.tiles import Tree
from remid_jax.models.attention.visibility import UNLIMITED

QUERIES, COLUMN, KEYS, SLOTS, WINDOW = "q b k m h", "q b k m c", "b k t h", "b t", "w"  # axes, by letters
TREE = (SLOTS, SLOTS, WINDOW)


def mix_fused(backend: ModuleType, interpret: bool = False) -> Mix:
    """The mix by the kernels of `backend`, whatever the platform; `interpret` runs them in plain JAX, slowly."""
    return differentiable(functools.partial(_forward, backend, interpret), functools.partial(_backward, backend, interpret))


def _forward(
    backend: ModuleType, interpret: bool, manner: Manner, q: Float[Array, "Q B K M H"], k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"], blocks: Blocks,
) -> tuple[Float[Array, "Q B K M H"], Float[Array, "Q B K M 1"]]:  # fmt: skip
    def run(q: Array, k: Array, v: Array, *tree: Array) -> tuple[Array, Array]:
        return backend.forward(manner, q, k, v, _tree(blocks, *tree), interpret)

    size = q.shape[-1]
    spread = _spread(run, (QUERIES, KEYS, KEYS, *TREE), (QUERIES, COLUMN), q)
    mixed, log_sums = spread(*(_wide(backend, a) for a in (q, k, v)), *_slots(blocks))
    return mixed[..., :size], log_sums


def _backward(
    backend: ModuleType, interpret: bool, manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks, mixed: Array,
    log_sums: Array, change: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    def run(q: Array, k: Array, v: Array, change: Array, log_sums: Array, common: Array, *tree: Array) -> tuple[Array, ...]:
        return backend.backward(manner, q, k, v, _tree(blocks, *tree), log_sums, common, change, interpret)

    size = q.shape[-1]
    common = (change * mixed).sum(axis=-1, keepdims=True)
    spread = _spread(run, (QUERIES, KEYS, KEYS, QUERIES, COLUMN, COLUMN, *TREE), (QUERIES, KEYS, KEYS), q)
    wide = (_wide(backend, a) for a in (q, k, v, change.astype(v.dtype)))
    to_q, to_k, to_v = (a[..., :size] for a in spread(*wide, log_sums, common, *_slots(blocks)))
    return to_q, to_k, to_v


def _wide(backend: ModuleType, a: Array) -> Array:
    """With heads as large as `backend` wants them."""
    return jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, backend.width(a.shape[-1]) - a.shape[-1])])


def _slots(blocks: Blocks) -> tuple[Array, Array, Array]:
    window = UNLIMITED if blocks.window is None else blocks.window
    return blocks.positions, blocks.ends, jnp.asarray(window, jnp.int32).reshape(1)


def _tree(blocks: Blocks, positions: Array, ends: Array, window: Array) -> Tree:
    return Tree(positions, ends, None if blocks.window is None else window[0])


def _spread(run: Callable[..., Any], taken: tuple[str, ...], given: tuple[str, ...], like: Array) -> Callable[..., Any]:
    """`run`, on each device for its rows and key heads of arrays `like` this one, [Q, B, K, M, H]: nobody else splits kernels.

    The mesh is the one in sight as the program is traced, `remid_jax.parallel`'s: rows lie along its data axis and key heads
    along its model axis, if that divides them.
    """
    mesh = jax.sharding.get_abstract_mesh()
    free = {name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Auto}
    if mesh.empty or mesh.size == 1 or not free:
        return run
    wanted = (("b", "data", like.shape[1]), ("k", "model", like.shape[2]))
    split = {axis: name for axis, name, size in wanted if name in free and size % mesh.shape[name] == 0}

    def lying(arrays: tuple[str, ...]) -> tuple[PartitionSpec, ...]:
        return tuple(PartitionSpec(*map(split.get, axes.split())) for axes in arrays)

    return jax.shard_map(run, in_specs=lying(taken), out_specs=lying(given), check_vma=False)


def _forward_by_platform(manner: Manner, q: Array, k: Array, v: Array, blocks: Blocks) -> tuple[Array, Array]:
    return jax.lax.platform_dependent(
        q, k, v, blocks,
        tpu=functools.partial(_forward, fused_tpu, False, manner),
        cuda=functools.partial(_forward, fused_gpu, False, manner),
        default=functools.partial(forward_plain, manner),
    )  # fmt: skip


def _backward_by_platform(manner: Manner, *given: Any) -> tuple[Array, Array, Array]:
    return jax.lax.platform_dependent(
        *given,
        tpu=functools.partial(_backward, fused_tpu, False, manner),
        cuda=functools.partial(_backward, fused_gpu, False, manner),
        default=functools.partial(backward_plain, manner),
    )


mix_by_platform = differentiable(_forward_by_platform, _backward_by_platform)
