"""Attention over token trees as Pallas kernels for GPUs, through Triton.

A program holds a tile of queries of one head and walks over the blocks of keys that they may see; for the gradients of keys and
values it holds a tile of keys and walks over the queries of all heads that see them. Sums stay in registers.

Equal to the plain way in interpret mode, and compiled for the H100 by `benchmarks.absent_devices`; not run on a device yet.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array, Bool, Float

from remid_jax.models.attention.softmax import Manner, State, absorb, finish, nothing, slopes
from remid_jax.models.attention.tiles import Tree, logits_of, times, times_rows, walk
from remid_jax.models.attention.visibility import UNLIMITED, visible

LEAST_SIDE = 16  # of a matrix that Triton multiplies
FORWARD_BYTES, BACKWARD_BYTES = 2**14, 2**13  # of a tile: five or six are to fit into 96 KiB, sums into registers

Ref = Any  # of an array that a kernel reads or writes


def width(size: int) -> int:
    """The size to which heads of `size` are padded."""
    return max(LEAST_SIDE, pl.next_power_of_2(size))


def forward(
    manner: Manner, q: Float[Array, "Q B K M H"], k: Float[Array, "B K T H"], v: Float[Array, "B K T H"], tree: Tree,
    interpret: bool,
) -> tuple[Float[Array, "Q B K M H"], Float[Array, "Q B K M 1"]]:  # fmt: skip
    """What each query takes, and the log-sums of its logits; float32."""
    size, tile = q.shape[4], _tile(manner.block, k, FORWARD_BYTES)
    mixed, log_sums = _hold_queries(
        _forward, manner, tree, tile, [q], [k, v], [jax.ShapeDtypeStruct((*q.shape[:4], n), jnp.float32) for n in (size, 1)],
        interpret,
    )  # fmt: skip
    return mixed, log_sums


def backward(
    manner: Manner, q: Array, k: Array, v: Array, tree: Tree, log_sums: Float[Array, "Q B K M 1"],
    common: Float[Array, "Q B K M 1"], change: Float[Array, "Q B K M H"], interpret: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of q, k and v, of their dtypes. `change` is that of what the queries take, in the dtype of v, `common` the sum
    of its products with that."""
    tile = _tile(manner.block, k, BACKWARD_BYTES)
    columns = [log_sums, common]
    (to_q,) = _hold_queries(_to_queries, manner, tree, tile, [q, change, *columns], [k, v], [_like(q)], interpret)
    lines = [a.swapaxes(3, 4) for a in columns]
    to_k, to_v = _hold_keys(_to_keys, manner, tree, tile, [q, change, *lines], [k, v], [_like(k), _like(v)], interpret)
    return to_q, to_k, to_v


def _tile(block: int, keys: Array, size: int) -> int:
    """How many queries or keys a tile of `size` bytes has: a power of two that divides a block."""
    return min(block, max(LEAST_SIDE, size // (keys.shape[-1] * keys.dtype.itemsize)))


def _like(a: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(a.shape, a.dtype)


def _hold_queries(
    kernel: Callable[..., None], manner: Manner, tree: Tree, tile: int, queries: Sequence[Array], keys: Sequence[Array],
    made: Sequence[jax.ShapeDtypeStruct], interpret: bool,
) -> Sequence[Array]:  # fmt: skip
    """Runs `kernel` for each tile of `queries`, which it makes `made` of, [Q, B, K, M, *] all of them."""
    count, b, heads, rows, _ = queries[0].shape

    def held(a: Array | jax.ShapeDtypeStruct) -> pl.BlockSpec:
        return pl.BlockSpec((None, None, None, tile, a.shape[4]), lambda t, n, r: (n, *_split(r, heads), t, 0))

    def whole(a: Array) -> pl.BlockSpec:
        return pl.BlockSpec((None, None, *a.shape[2:]), lambda t, n, r: (*_split(r, heads), 0, 0))

    lists = walk(tree.seen(manner.block, manner.block))
    return _call(
        functools.partial(kernel, manner, tree.window is not None), tree, (rows // tile, count, b * heads),
        lambda t, n, r: (_split(r, heads)[0], n), lists, [(a, held(a)) for a in queries], [(a, whole(a)) for a in keys],
        [(a, held(a)) for a in made], interpret,
    )  # fmt: skip


def _hold_keys(
    kernel: Callable[..., None], manner: Manner, tree: Tree, tile: int, queries: Sequence[Array], keys: Sequence[Array],
    made: Sequence[jax.ShapeDtypeStruct], interpret: bool,
) -> Sequence[Array]:  # fmt: skip
    """Runs `kernel` for each tile of `keys`, which it makes `made` of, [B, K, T, H] all of them."""
    b, heads, length, size = keys[0].shape

    def whole(a: Array) -> pl.BlockSpec:
        return pl.BlockSpec((a.shape[0], None, None, *a.shape[3:]), lambda t, r: (0, *_split(r, heads), 0, 0))

    def held(a: Array | jax.ShapeDtypeStruct) -> pl.BlockSpec:
        return pl.BlockSpec((None, None, tile, size), lambda t, r: (*_split(r, heads), t, 0))

    lists = walk(tree.seen(manner.block, manner.block).swapaxes(1, 2))
    return _call(
        functools.partial(kernel, manner, tree.window is not None), tree, (length // tile, b * heads),
        lambda t, r: (_split(r, heads)[0], jax.lax.div(t, manner.block // tile)), lists, [(a, whole(a)) for a in queries],
        [(a, held(a)) for a in keys], [(a, held(a)) for a in made], interpret,
    )  # fmt: skip


def _split(r: Any, heads: int) -> tuple[Any, Any]:
    """The row and the key head of a number that counts both."""
    return jax.lax.div(r, heads), jax.lax.rem(r, heads)


def _call(
    kernel: Callable[..., None], tree: Tree, grid: tuple[int, ...], place: Callable[..., tuple[Any, Any]],
    lists: tuple[Array, Array], queries: Sequence[tuple[Array, pl.BlockSpec]], keys: Sequence[tuple[Array, pl.BlockSpec]],
    made: Sequence[tuple[jax.ShapeDtypeStruct, pl.BlockSpec]], interpret: bool,
) -> Sequence[Array]:  # fmt: skip
    """Runs `kernel` on a grid; `place` gives the row of a program and the block that it holds a tile of."""
    order, counts = lists
    window = jnp.asarray(UNLIMITED if tree.window is None else tree.window, jnp.int32).reshape(1)
    row = pl.BlockSpec((None, tree.ends.shape[1]), lambda *at: (place(*at)[0], 0))
    wanted = [
        (order, pl.BlockSpec((None, None, order.shape[2]), lambda *at: (*place(*at), 0))),
        (counts[:, :, None], pl.BlockSpec((None, None, 1), lambda *at: (*place(*at), 0))),
        (window, pl.BlockSpec((1,), lambda *at: (0,))), (tree.positions, row), (tree.ends, row), *queries, *keys,
    ]  # fmt: skip
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=[spec for _, spec in wanted],
        out_specs=[spec for _, spec in made],
        out_shape=[shape for shape, _ in made],
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
    )(*(array for array, _ in wanted))


def _forward(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, positions: Ref, ends: Ref, q: Ref, k: Ref, v: Ref,
    mixed: Ref, log_sums: Ref,
) -> None:  # fmt: skip
    queries, tile = q[...], q.shape[0]
    first, limit = _first_query(manner.block, tile), window[0] if windowed else None

    def add(n: Array, state: State) -> State:
        start = _slot(order, n, manner.block, tile)
        at = pl.ds(start, tile)
        seen = _seen(0, positions, ends, first, start, tile, limit)
        return absorb(state, logits_of(manner, queries, k[at, :]), seen, lambda weights: times(weights, v[at, :]))

    state = jax.lax.fori_loop(0, counts[0] * (manner.block // tile), add, nothing(queries.shape))
    mixed[...], log_sums[...] = finish(state)


def _to_queries(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, positions: Ref, ends: Ref, q: Ref, change: Ref,
    log_sums: Ref, common: Ref, k: Ref, v: Ref, to_q: Ref,
) -> None:  # fmt: skip
    queries, changed, tile = q[...], change[...], q.shape[0]
    log_sum, shared = log_sums[...], common[...]
    first, limit = _first_query(manner.block, tile), window[0] if windowed else None

    def add(n: Array, sums: Array) -> Array:
        start = _slot(order, n, manner.block, tile)
        keys, values = k[pl.ds(start, tile), :], v[pl.ds(start, tile), :]
        seen = _seen(0, positions, ends, first, start, tile, limit)
        _, found = slopes(manner, logits_of(manner, queries, keys), seen, log_sum, times_rows(changed, values), shared)
        return sums + times(found, keys)

    sums = jax.lax.fori_loop(0, counts[0] * (manner.block // tile), add, jnp.zeros(queries.shape, jnp.float32))
    to_q[...] = sums.astype(to_q.dtype)


def _to_keys(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, positions: Ref, ends: Ref, q: Ref, change: Ref,
    log_sums: Ref, common: Ref, k: Ref, v: Ref, to_k: Ref, to_v: Ref,
) -> None:  # fmt: skip
    """Keys down and queries across, so that no product has a transposed left operand."""
    keys, values, tile = k[...], v[...], k.shape[0]
    start, limit = pl.program_id(0) * tile, window[0] if windowed else None
    tiles = q.shape[1] // tile  # of a block of queries, all heads

    def add(n: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        block, at = order[jax.lax.div(n, tiles)], jax.lax.rem(n, tiles) * tile
        queries, changed = q[block, pl.ds(at, tile), :], change[block, pl.ds(at, tile), :]
        log_sum, shared = (a[block, :, pl.ds(at, tile)] for a in (log_sums, common))
        seen = _seen(1, positions, ends, block * manner.block + jax.lax.rem(at, manner.block), start, tile, limit)
        to_weights = times_rows(values, changed)
        weights, found = slopes(manner, logits_of(manner, keys, queries), seen, log_sum, to_weights, shared)
        return sums[0] + times(found, queries), sums[1] + times(weights, changed)

    none = jnp.zeros(keys.shape, jnp.float32)
    sums = jax.lax.fori_loop(0, counts[0] * tiles, add, (none, none))
    to_k[...], to_v[...] = sums[0].astype(to_k.dtype), sums[1].astype(to_v.dtype)


def _first_query(block: int, tile: int) -> Array:
    """The slot of the first query of this program's tile, within one head."""
    return pl.program_id(1) * block + jax.lax.rem(pl.program_id(0) * tile, block)


def _slot(order: Ref, n: Array, block: int, tile: int) -> Array:
    """The first slot of the n-th tile of the blocks that are listed."""
    tiles = block // tile
    return order[jax.lax.div(n, tiles)] * block + jax.lax.rem(n, tiles) * tile


def _seen(
    axis: int, positions: Ref, ends: Ref, first: Array, start: Array, tile: int, window: Array | None
) -> Bool[Array, "M S"] | Bool[Array, "S M"]:
    """Who sees whom, of the queries from slot `first` on, along `axis`, and the keys from `start` on."""

    def along(a: Array, axis: int) -> Array:
        return jax.lax.broadcast_in_dim(a, (tile, 1) if axis == 0 else (1, tile), (axis,))

    slots, other = jnp.arange(tile, dtype=jnp.int32), 1 - axis
    queries, keys = along(first + slots, axis), along(start + slots, other)
    of_queries, of_keys = along(positions[pl.ds(first, tile)], axis), along(positions[pl.ds(start, tile)], other)
    return visible(queries, of_queries, keys, of_keys, along(ends[pl.ds(start, tile)], other), window)
