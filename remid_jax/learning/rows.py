"""Training rows: a prompt and all of its completions are one token tree, so the prompt is encoded once, forward and backward.

Unlike the rows of a scoring plan a tree is never cut, so whatever compares completions of one prompt finds them together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from remid_jax.scoring.engine import make_batch
from remid_jax.scoring.filling import bucket_of, row_cost
from remid_jax.scoring.kernel import Batch
from remid_jax.scoring.packing import Row, whole_tree
from remid_jax.scoring.requests import Request


@dataclasses.dataclass(frozen=True)
class TrainingRow:
    """Trees side by side. `completions` says of each completion whose it is, (request, continuation), and where among the row's
    `scored` slots its tokens are; those of one request follow each other, in order."""

    row: Row
    completions: tuple[tuple[tuple[int, int], np.ndarray], ...]


class TrainingBatch(NamedTuple):
    """Rows of one bucket with up to K completions of up to N tokens each: `slots[b, k, n]` among the scored slots of row b.

    `dropout` is a random key a row; `columns` is what the loss needs besides, led by [B, K].
    """

    rows: Batch
    slots: Int[Array, "B K N"]
    mask: Float[Array, "B K N"]
    dropout: UInt32[Array, "B 2"]
    columns: dict[str, Array]


def pack(requests: Sequence[Request], max_row: int, attention_knee: float) -> list[TrainingRow]:
    """One tree a request; trees share a row of at most `max_row` tokens where that is cheaper than rows of their own.

    Raises:
      UserError: as `packing.whole_tree`.
    """
    rows: list[TrainingRow] = []
    for r, request in enumerate(requests):
        row, found = whole_tree(request)
        own = TrainingRow(row, tuple(((r, c), indices) for c, indices in enumerate(found)))
        place = next((n for n, other in enumerate(rows) if _cheaper(other.row, row, max_row, attention_knee)), None)
        if place is None:
            rows.append(own)
        else:
            rows[place] = _joined(rows[place], own)
    return rows


def _cheaper(a: Row, b: Row, max_row: int, knee: float) -> bool:
    together = len(a.tokens) + len(b.tokens)
    if together > max_row:
        return False
    return bool(row_cost(bucket_of(together), knee) <= row_cost(a.bucket, knee) + row_cost(b.bucket, knee))


def _joined(a: TrainingRow, b: TrainingRow) -> TrainingRow:
    offset, scored = len(a.row.tokens), len(a.row.scored)
    row = Row(
        np.concatenate([a.row.tokens, b.row.tokens]),
        np.concatenate([a.row.positions, b.row.positions]),
        np.concatenate([a.row.scored, b.row.scored + offset]).astype(np.int32),
    )
    moved = tuple((owner, indices + scored) for owner, indices in b.completions)
    return TrainingRow(row, a.completions + moved)


def training_batch(
    rows: Sequence[TrainingRow],
    size: int,
    completions: int,
    tokens: int,
    columns: Mapping[str, Sequence[Sequence[np.ndarray | float]]],
    dropout: UInt32[np.ndarray, "rows 2"],
) -> TrainingBatch:
    """Host arrays for `rows`, all of one bucket, filled up to `size` rows, K = `completions` and N = `tokens`.

    `columns[name][request][continuation]` is a number, or an array [tokens of the completion].
    """
    bucket = rows[0].row.bucket
    slots = np.zeros((size, completions, tokens), np.int32)
    mask = np.zeros((size, completions, tokens), np.float32)
    keys = np.zeros((size, 2), np.uint32)
    keys[: len(rows)] = dropout
    laid = {name: np.zeros((size, completions, *_tail(values, tokens)), np.float32) for name, values in columns.items()}
    for b, of in enumerate(rows):
        for k, ((r, c), indices) in enumerate(of.completions):
            slots[b, k, : len(indices)] = indices
            mask[b, k, : len(indices)] = 1
            for name, values in columns.items():
                where = (b, k, slice(len(indices))) if laid[name].ndim == 3 else (b, k)
                laid[name][where] = values[r][c]
    # Host arrays until they are placed: a batch is the same thing on either side.
    return TrainingBatch(make_batch([of.row for of in rows], size, bucket), slots, mask, keys, laid)  # type: ignore[arg-type]


def batch_rows(bucket: int, tokens_per_step: int, shares: int) -> int:
    """How many rows of a bucket `tokens_per_step` holds, and `shares` devices can share evenly."""
    return max(1, tokens_per_step // (bucket * shares)) * shares


def in_buckets(buckets: Sequence[int], wanted: Sequence[int], size_of: Callable[[int], int]) -> Iterator[list[int]]:
    """The `wanted` numbers, step by step: those of one bucket together, in order, `size_of(bucket)` at a time."""
    by_bucket: dict[int, list[int]] = {}
    for n in wanted:
        by_bucket.setdefault(buckets[n], []).append(n)
    for bucket in sorted(by_bucket):
        numbers, size = by_bucket[bucket], size_of(bucket)
        for first in range(0, len(numbers), size):
            yield numbers[first : first + size]


def _tail(values: Sequence[Sequence[np.ndarray | float]], tokens: int) -> tuple[int, ...]:
    return (tokens,) if np.ndim(values[0][0]) else ()
