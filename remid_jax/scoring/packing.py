"""The plan: from requests to packed rows, before the store or a device is asked.

All sequences of a group (prefix + continuation) are sorted as token strings. What shares a long beginning becomes a token tree:
what a sequence shares with its predecessor is already there. So B contexts with K replies each cost B (prefix + K reply) tokens
instead of B K (prefix + reply), whoever asked for them. Where a sorted run is cut into trees is solved exactly by dynamic
programming; `filling` puts trees side by side into rows, and rows into steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.errors import UserError
from remid_jax.scoring.filling import BUCKETS, Limits, bucket_of, fill_rows
from remid_jax.scoring.requests import Request

_DEPTHS = np.arange(BUCKETS[-1], dtype=np.int32)
LEAST_SHARED = 8  # tokens: a shorter common beginning is no reason to keep two sequences together


@dataclasses.dataclass(frozen=True)
class Row:
    """A token tree in depth-first order. The depths (`positions`) alone determine the tree: the parent of a slot is the
    last earlier slot one level up. `scored` are the slots whose token is scored, ascending."""

    tokens: np.ndarray
    positions: np.ndarray
    scored: np.ndarray
    group: str = ""

    @property
    def bucket(self) -> int:
        return bucket_of(len(self.tokens))

    @property
    def digest(self) -> bytes:
        """sha256 over everything that determines the row's scores, given a kernel."""
        parts = (np.array([self.bucket, len(self.tokens)]), self.tokens, self.positions, self.scored)
        return hashlib.sha256(b"".join(np.ascontiguousarray(part, np.int32).tobytes() for part in parts)).digest()

    def links(self) -> tuple[np.ndarray, np.ndarray]:
        """(ends, parents): for each slot the first later slot outside its subtree (see `remid_jax.models.decoder`), and the
        slot that predicts it, 0 for roots, which nothing predicts and nobody scores."""
        length = len(self.tokens)
        ends, parents = np.full(length, length, np.int32), np.arange(-1, length - 1, dtype=np.int32)
        path = _Path()
        # A walk only turns at slots that do not stand one level below the slot before them.
        turns = [0, *(np.flatnonzero(np.diff(self.positions) != 1) + 1).tolist()]
        for start, stop in itertools.pairwise([*turns, length]):
            depth = int(self.positions[start])
            for first, last in path.cut(depth):
                ends[first:last] = start
            parents[start] = path.slot(depth - 1) if depth else 0
            path.grow(start, stop - start)
        return ends, parents


class _Path:
    """The slots from a root to where a walk through a tree stands, as pieces [depth, first slot, slots] without gaps."""

    def __init__(self) -> None:
        self._pieces: list[list[int]] = []

    def grow(self, slot: int, count: int) -> None:
        """Goes down `count` slots from `slot` on."""
        depth = self._pieces[-1][0] + self._pieces[-1][2] if self._pieces else 0
        if count:
            self._pieces.append([depth, slot, count])

    def cut(self, depth: int) -> list[tuple[int, int]]:
        """Goes back up until `depth` slots are left, and returns the ranges of the slots that were left behind."""
        left = []
        while self._pieces and self._pieces[-1][0] + self._pieces[-1][2] > depth:
            first, slot, count = self._pieces[-1]
            kept = max(0, depth - first)
            left.append((slot + kept, slot + count))
            if kept:
                self._pieces[-1][2] = kept
            else:
                self._pieces.pop()
        return left

    def slot(self, depth: int) -> int:
        return next(slot + depth - first for first, slot, _ in reversed(self._pieces) if first <= depth)

    def below(self, depth: int) -> list[tuple[int, int]]:
        """The ranges of the slots from `depth` on, downwards."""
        return [(slot + max(0, depth - first), slot + count) for first, slot, count in self._pieces if first + count > depth]


class Place(NamedTuple):
    """Where the scores of one continuation are found: row number, and indices into that row's `scored`."""

    row: int
    indices: np.ndarray


@dataclasses.dataclass(frozen=True)
class Plan:
    """`steps[n]` is how many rows the device step of row n holds, filler among them."""

    rows: tuple[Row, ...]
    steps: tuple[int, ...]
    places: tuple[tuple[Place, ...], ...]


class _Sequence(NamedTuple):
    ids: np.ndarray
    scored_from: int
    owner: tuple[int, int]


def plan_rows(requests: Sequence[Request], limits: Limits) -> Plan:
    """Packs the complete list of requests into rows of at most `limits.max_row` tokens (a longer sequence gets its own row).

    Rows, and the sizes of their steps, depend on nothing but their own group.

    Raises:
      UserError: if a request has no prefix token, or a continuation nothing to score, or is longer than the longest bucket.
    """
    groups: dict[str, list[int]] = {}
    for r, request in enumerate(requests):
        groups.setdefault(request.group, []).append(r)
    rows: list[Row] = []
    steps: list[int] = []
    places = [[Place(-1, np.empty(0, np.int32))] * len(request.continuations) for request in requests]
    for group, members in groups.items():
        sequences, shared = _sorted([sequence for r in members for sequence in _sequences(r, requests[r])])
        first = len(rows)
        for chosen in _rows(sequences, shared, limits):
            own = [sequences[n] for n in chosen]
            row, found = _write_row(own, _shared_within(chosen, sequences, shared), group)
            for sequence, indices in zip(own, found, strict=True):
                places[sequence.owner[0]][sequence.owner[1]] = Place(len(rows), indices)
            rows.append(row)
        steps += _steps([row.bucket for row in rows[first:]], limits)
    return Plan(tuple(rows), tuple(steps), tuple(tuple(p) for p in places))


def whole_tree(request: Request) -> tuple[Row, list[np.ndarray]]:
    """All of a request in one row, and for each continuation the indices of its tokens in the row's `scored`.

    Raises:
      UserError: as `plan_rows`, or if the whole is longer than the longest bucket.
    """
    sequences, shared = _sorted(_sequences(0, request))
    row, found = _write_row(sequences, shared, request.group)
    bucket_of(len(row.tokens))
    by_owner = {sequence.owner: indices for sequence, indices in zip(sequences, found, strict=True)}
    return row, [by_owner[0, c] for c in range(len(request.continuations))]


def _sorted(sequences: list[_Sequence]) -> tuple[list[_Sequence], list[int]]:
    """The sequences as sorted token strings, and what each shares with the one before it."""
    sequences = sorted(sequences, key=lambda s: (s.ids.astype(">i4").tobytes(), s.owner))
    return sequences, [0, *(_common_prefix(a.ids, b.ids) for a, b in itertools.pairwise(sequences))]


def _sequences(r: int, request: Request) -> list[_Sequence]:
    if not len(request.prefix):
        raise UserError(f"request {r} has an empty prefix: the first token has nothing to be predicted from")
    prefix = np.asarray(request.prefix, np.int32)
    sequences = []
    for c, continuation in enumerate(request.continuations):
        if not len(continuation.ids):
            raise UserError(f"answer {c} of request {r} has no token to score")
        ids = np.concatenate([prefix, np.asarray(continuation.ids, np.int32)])
        bucket_of(len(ids))
        sequences.append(_Sequence(ids, len(prefix), (r, c)))
    return sequences


def _common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    if a[0] != b[0]:
        return 0
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    first = int(differs.argmax())
    return first if differs[first] else length


def _rows(sequences: list[_Sequence], shared: list[int], limits: Limits) -> list[list[int]]:
    """Which sequences share a row, by number, ascending."""
    if not sequences:
        return []
    lengths = np.array([len(s.ids) for s in sequences])
    kept = np.array(shared)
    runs = _cuts(lengths, kept, limits.max_row, limits.attention_knee)
    trees = [int(lengths[i] + (lengths[i + 1 : j] - kept[i + 1 : j]).sum()) for i, j in runs]
    looks = [int(lengths[i] ** 2 + (lengths[i + 1 : j] ** 2 - kept[i + 1 : j] ** 2).sum()) for i, j in runs]
    filled = fill_rows(trees, looks, min(min(shared[1:], default=0), min(trees) - 1), limits)
    return [[n for run in sorted(runs[tree] for tree in row) for n in range(*run)] for row in filled]


def _cuts(lengths: np.ndarray, shared: np.ndarray, max_row: int, knee: float) -> list[tuple[int, int]]:
    """The cut of sorted sequences into runs [i, j) that costs least.

    A run costs its tokens, and what they look at: a sequence of l tokens of which s are there already adds (l^2 - s^2) / knee.
    What all sequences share is not counted: every row holds it once, wherever runs are cut. Sequences that share less than
    `LEAST_SHARED` tokens beyond it are always apart.
    """
    head = int(shared[1:].min(initial=lengths[0]))
    apart = np.flatnonzero(shared - head < LEAST_SHARED)
    stretches = itertools.pairwise(dict.fromkeys([0, *apart.tolist(), len(lengths)]))
    runs: list[tuple[int, int]] = []
    for first, last in stretches:
        if last - first == 1:
            runs.append((first, last))
        else:
            own = _cut_stretch(lengths[first:last], shared[first:last], head, max_row, knee)
            runs += [(first + i, first + j) for i, j in own]
    return runs


def _cut_stretch(lengths: np.ndarray, shared: np.ndarray, head: int, max_row: int, knee: float) -> list[tuple[int, int]]:
    added, looked = np.cumsum(lengths - shared), np.cumsum(lengths**2 - shared**2)
    if added[-1] - added[0] + lengths[0] <= max_row:
        return [(0, len(lengths))]  # every further run encodes something twice
    # A run that begins at i pays sequence i in full, and of the later ones only what they add.
    full, full_looked = lengths - added, lengths**2 - looked
    best, cut = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1, np.int64)
    reaches = np.minimum(np.searchsorted(added, added - max_row), np.arange(len(lengths)))
    for j in range(1, len(lengths) + 1):
        reach = int(reaches[j - 1])
        sizes = full[reach:j] + added[j - 1]
        cost = best[reach:j] + (sizes - head) + (full_looked[reach:j] + looked[j - 1]) / knee
        cost[:-1][sizes[:-1] > max_row] = np.inf
        choice = int(cost.argmin())
        best[j], cut[j] = cost[choice], reach + choice
    runs, j = [], len(lengths)
    while j:
        runs.append((int(cut[j]), j))
        j = int(cut[j])
    return runs[::-1]


def _shared_within(chosen: Sequence[int], sequences: Sequence[_Sequence], shared: Sequence[int]) -> list[int]:
    """What each of the chosen sequences shares with the chosen one before it."""
    later = (
        shared[b] if b == a + 1 else _common_prefix(sequences[a].ids, sequences[b].ids) for a, b in itertools.pairwise(chosen)
    )
    return [0, *later]


def _steps(buckets: Sequence[int], limits: Limits) -> list[int]:
    """For each row how many rows its step holds."""
    by_bucket: dict[int, list[int]] = {}
    for n, bucket in enumerate(buckets):
        by_bucket.setdefault(bucket, []).append(n)
    steps = [0] * len(buckets)
    for bucket, numbers in by_bucket.items():
        for n, size in zip(numbers, limits.steps(bucket, len(numbers)).sizes(), strict=False):
            steps[n] = size
    return steps


def _write_row(sequences: Sequence[_Sequence], shared: Sequence[int], group: str) -> tuple[Row, list[np.ndarray]]:
    """The tree of a run, and for each sequence the indices of its scored tokens among the row's scored slots."""
    new = [len(sequence.ids) - keep for sequence, keep in zip(sequences, shared, strict=True)]
    size = sum(new)
    positions, is_scored, path = np.empty(size, np.int32), np.zeros(size, bool), _Path()
    start, ranges = 0, []
    for sequence, keep, count in zip(sequences, shared, new, strict=True):
        positions[start : start + count] = _DEPTHS[keep : keep + count]
        path.cut(keep)
        path.grow(start, count)
        own = path.below(sequence.scored_from)
        for first, last in own:
            is_scored[first:last] = True
        ranges.append(own)
        start += count
    before = np.cumsum(is_scored, dtype=np.int32) - 1
    pieces = [sequence.ids[keep:] if keep else sequence.ids for sequence, keep in zip(sequences, shared, strict=True)]
    row = Row(np.concatenate(pieces), positions, np.flatnonzero(is_scored).astype(np.int32), group)
    return row, [
        before[slice(*own[0])] if len(own) == 1 else np.concatenate([before[first:last] for first, last in own])
        for own in ranges
    ]
