"""Attention over token trees as Pallas kernels for TPUs.

A block of queries, all query heads of a key head in one matrix, stays on the chip with its sums and takes one block of keys
after the other from the list of those that it may see; for the gradients of keys and values, keys stay and take queries. Steps
behind the end of a list do nothing and fetch nothing.

Equal to the plain way in interpret mode, and compiled for v5e and v5p by `benchmarks.absent_devices`; not run on a device yet.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Bool, Float

from remid_jax.models.attention.softmax import START, Manner, State, absorb, finish, slopes
from remid_jax.models.attention.tiles import Tree, logits_of, times, times_rows, walk
from remid_jax.models.attention.visibility import UNLIMITED, visible

LANES = 128
KEYS = 512  # slots of a block of keys at most: the more, the fewer steps
LOGITS = 2**17  # of a step at most: it holds a few arrays of so many numbers, 512 KiB each

Ref = Any  # of an array that a kernel reads or writes


class Tile(NamedTuple):
    """What of an array a step has: its shape there, and where it lies, by row, key head and number of the block.

    `held` says whether the number is that of the block that stays or of the one that is next on the list.
    """

    shape: tuple[int | None, ...]
    place: Callable[[Any, Any, Any], tuple[Any, ...]]
    held: bool


def width(size: int) -> int:
    """The size to which heads of `size` are padded."""
    return -(-size // LANES) * LANES


def forward(
    manner: Manner, q: Float[Array, "Q B K M H"], k: Float[Array, "B K T H"], v: Float[Array, "B K T H"], tree: Tree,
    interpret: bool,
) -> tuple[Float[Array, "Q B K M H"], Float[Array, "Q B K M 1"]]:  # fmt: skip
    """What each query takes, and the log-sums of its logits; float32."""
    count, _, heads, rows, size = q.shape
    keys = _slots_of_keys(manner.block, count, rows)
    wanted = [
        (q, _query_tile(rows, size, True)), (k, _key_tile(keys, size, False)), (v, _key_tile(keys, size, False)),
        *_standing(tree, manner.block, keys),
    ]  # fmt: skip
    made = [(jax.ShapeDtypeStruct((*q.shape[:4], n), jnp.float32), _query_tile(rows, n, True)) for n in (size, 1)]
    kernel = functools.partial(_forward, manner, tree.window is not None)
    mixed, log_sums = _run(
        kernel, tree, heads, tree.seen(manner.block, keys), wanted, made, [(rows, n) for n in (LANES, LANES, size)], interpret
    )
    return mixed, log_sums


def backward(
    manner: Manner, q: Array, k: Array, v: Array, tree: Tree, log_sums: Float[Array, "Q B K M 1"],
    common: Float[Array, "Q B K M 1"], change: Float[Array, "Q B K M H"], interpret: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of q, k and v, of their dtypes. `change` is that of what the queries take, in the dtype of v, `common` the sum
    of its products with that."""
    count, _, heads, rows, size = q.shape
    keys = _slots_of_keys(manner.block, count, rows)
    windowed, seen = tree.window is not None, tree.seen(manner.block, keys)

    def given(held: bool) -> list[tuple[Array, Tile]]:
        ours, theirs = _query_tile(rows, size, held), _key_tile(keys, size, not held)
        return [(q, ours), (k, theirs), (v, theirs), (change, ours)]

    columns = [(a, _query_tile(rows, 1, True)) for a in (log_sums, common)]
    (to_q,) = _run(
        functools.partial(_to_queries, manner, windowed), tree, heads, seen,
        [*given(True), *columns, *_standing(tree, manner.block, keys)],
        [(jax.ShapeDtypeStruct(q.shape, q.dtype), _query_tile(rows, size, True))], [(rows, size)], interpret,
    )  # fmt: skip
    lines = [(a.swapaxes(3, 4), Tile((None, None, None, 1, rows), lambda b, h, n: (n, b, h, 0, 0), False))
             for a in (log_sums, common)]  # fmt: skip
    to_k, to_v = _run(
        functools.partial(_to_keys, manner, windowed), tree, heads, seen.swapaxes(1, 2),
        [*given(False), *lines, *_lying(tree, manner.block, keys)],
        [(jax.ShapeDtypeStruct(a.shape, a.dtype), _key_tile(keys, size, True)) for a in (k, v)], [(keys, size)] * 2, interpret,
    )  # fmt: skip
    return to_q, to_k, to_v


def _slots_of_keys(block: int, count: int, rows: int) -> int:
    """How many slots a block of keys has: a multiple of `block` that divides the row."""
    keys = block
    while count * block % (2 * keys) == 0 and 2 * keys <= KEYS and 2 * keys * rows <= LOGITS:
        keys *= 2
    return keys


def _query_tile(rows: int, size: int, held: bool) -> Tile:
    return Tile((None, None, None, rows, size), lambda b, h, n: (n, b, h, 0, 0), held)


def _key_tile(keys: int, size: int, held: bool) -> Tile:
    return Tile((None, None, keys, size), lambda b, h, n: (b, h, n, 0), held)


def _standing(tree: Tree, block: int, keys: int) -> list[tuple[Array, Tile]]:
    """Positions of held queries in a column; positions and ends of listed keys in a line."""
    line = Tile((None, 1, keys), lambda b, h, n: (b, 0, n), False)
    column = Tile((None, block, 1), lambda b, h, n: (b, n, 0), True)
    return [(tree.positions[:, :, None], column), (tree.positions[:, None], line), (tree.ends[:, None], line)]


def _lying(tree: Tree, block: int, keys: int) -> list[tuple[Array, Tile]]:
    """Positions of listed queries in a line; positions and ends of held keys in a column."""
    line = Tile((None, 1, block), lambda b, h, n: (b, 0, n), False)
    column = Tile((None, keys, 1), lambda b, h, n: (b, n, 0), True)
    return [(tree.positions[:, None], line), (tree.positions[:, :, None], column), (tree.ends[:, :, None], column)]


def _run(
    kernel: Callable[..., None], tree: Tree, heads: int, seen: Bool[Array, "B N S"], wanted: Sequence[tuple[Array, Tile]],
    made: Sequence[tuple[jax.ShapeDtypeStruct, Tile]], scratch: Sequence[tuple[int, int]], interpret: bool,
) -> Sequence[Array]:  # fmt: skip
    """Runs `kernel` for each block that is held and each on its list."""
    order, counts = walk(seen)
    rows, held, steps = order.shape

    def spec(tile: Tile) -> pl.BlockSpec:
        def index(b: Any, h: Any, n: Any, step: Any, order: Ref, *_: Ref) -> tuple[Any, ...]:
            return tile.place(b, h, n if tile.held else order[(b * held + n) * steps + step])

        return pl.BlockSpec(tile.shape, index)

    grid = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=3,
        grid=(rows, heads, held, steps),
        in_specs=[spec(tile) for _, tile in wanted],
        out_specs=[spec(tile) for _, tile in made],
        scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
    )
    window = jnp.asarray(UNLIMITED if tree.window is None else tree.window, jnp.int32).reshape(1)
    return pl.pallas_call(
        kernel,
        grid_spec=grid,
        out_shape=[shape for shape, _ in made],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel", "parallel", "arbitrary")),
        interpret=interpret,
    )(order.ravel(), counts.ravel(), window, *(array for array, _ in wanted))


def _forward(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, q: Ref, k: Ref, v: Ref, query_positions: Ref,
    positions: Ref, ends: Ref, mixed: Ref, log_sums: Ref, greatest: Ref, total: Ref, mix: Ref,
) -> None:  # fmt: skip
    def begin() -> None:
        greatest[...] = jnp.full(greatest.shape, START, jnp.float32)
        total[...] = jnp.zeros(total.shape, jnp.float32)
        mix[...] = jnp.zeros(mix.shape, jnp.float32)

    def add(held: Array, listed: Array) -> None:
        limit = window[0] if windowed else None
        seen = _seen(0, manner.block, q.shape[0], held, listed, query_positions[...], positions[...], ends[...], limit)
        state = State(greatest[:, :1], total[:, :1], mix[...])
        state = absorb(state, logits_of(manner, q[...], k[...]), seen, lambda weights: times(weights, v[...]))
        greatest[...] = jnp.broadcast_to(state.greatest, greatest.shape)
        total[...] = jnp.broadcast_to(state.total, total.shape)
        mix[...] = state.mix

    def end() -> None:
        mixed[...], log_sums[...] = finish(State(greatest[:, :1], total[:, :1], mix[...]))

    _step(order, counts, begin, add, end)


def _to_queries(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, q: Ref, k: Ref, v: Ref, change: Ref, log_sums: Ref,
    common: Ref, query_positions: Ref, positions: Ref, ends: Ref, to_q: Ref, sums: Ref,
) -> None:  # fmt: skip
    def begin() -> None:
        sums[...] = jnp.zeros(sums.shape, jnp.float32)

    def add(held: Array, listed: Array) -> None:
        limit = window[0] if windowed else None
        seen = _seen(0, manner.block, q.shape[0], held, listed, query_positions[...], positions[...], ends[...], limit)
        logits, to_weights = logits_of(manner, q[...], k[...]), times_rows(change[...], v[...])
        _, found = slopes(manner, logits, seen, log_sums[...], to_weights, common[...])
        sums[...] += times(found, k[...])

    def end() -> None:
        to_q[...] = sums[...].astype(to_q.dtype)

    _step(order, counts, begin, add, end)


def _to_keys(
    manner: Manner, windowed: bool, order: Ref, counts: Ref, window: Ref, q: Ref, k: Ref, v: Ref, change: Ref, log_sums: Ref,
    common: Ref, query_positions: Ref, positions: Ref, ends: Ref, to_k: Ref, to_v: Ref, sums_k: Ref, sums_v: Ref,
) -> None:  # fmt: skip
    """Keys down and queries across, so that no product has a transposed left operand."""

    def begin() -> None:
        for sums in (sums_k, sums_v):
            sums[...] = jnp.zeros(sums.shape, jnp.float32)

    def add(held: Array, listed: Array) -> None:
        limit = window[0] if windowed else None
        seen = _seen(1, manner.block, q.shape[0], listed, held, query_positions[...], positions[...], ends[...], limit)
        logits, to_weights = logits_of(manner, k[...], q[...]), times_rows(v[...], change[...])
        weights, found = slopes(manner, logits, seen, log_sums[...], to_weights, common[...])
        sums_k[...] += times(found, q[...])
        sums_v[...] += times(weights, change[...])

    def end() -> None:
        to_k[...], to_v[...] = sums_k[...].astype(to_k.dtype), sums_v[...].astype(to_v.dtype)

    _step(order, counts, begin, add, end)


def _step(
    order: Ref, counts: Ref, begin: Callable[[], None], add: Callable[[Array, Array], None], end: Callable[[], None]
) -> None:
    """One of a list: `add` takes the numbers of the block that is held and of the one that is next."""
    held, step, steps = pl.program_id(2), pl.program_id(3), pl.num_programs(3)
    mine = pl.program_id(0) * pl.num_programs(2) + held
    pl.when(step == 0)(begin)
    pl.when(step < counts[mine])(lambda: add(held, order[mine * steps + step]))
    pl.when(step == steps - 1)(end)


def _seen(
    axis: int, block: int, rows: int, query_block: Array, key_block: Array, query_positions: Array, positions: Array,
    ends: Array, window: Array | None,
) -> Bool[Array, "M S"] | Bool[Array, "S M"]:  # fmt: skip
    """Who sees whom: queries of all heads along `axis`, keys along the other."""

    def slots(number: Array, shape: tuple[int, ...], along: int) -> Array:
        return number * shape[along] + jax.lax.broadcasted_iota(jnp.int32, shape, along)

    def every_head(a: Array) -> Array:
        return jnp.concatenate([a] * (rows // block), axis)

    queries = every_head(slots(query_block, query_positions.shape, axis))
    return visible(queries, every_head(query_positions), slots(key_block, ends.shape, 1 - axis), positions, ends, window)
