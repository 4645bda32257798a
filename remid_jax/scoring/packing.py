"""The plan: from requests to packed rows, before the store or a device is asked.

All sequences of a group (prefix + continuation) are sorted as token strings. A row takes a run of neighbours and writes each
as a branch of a token tree: what it shares with its predecessor is already there. So B contexts with K replies each cost
B (prefix + K reply) tokens instead of B K (prefix + reply), whoever asked for them, and unlike short texts lie side by side.
Where to cut the sorted list into rows is solved exactly by dynamic programming over the cost of the rows' buckets.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from remid_jax.errors import UserError
from remid_jax.scoring.requests import Request

# One table for rows and prompts: each length in use costs a compilation, each gap between two costs padding (a tenth of ragged
# dialogues). Beyond 512 there are at least two lengths an octave, beyond 1,024 four.
BUCKETS = (64, 128, 256, 384, 512, 640, 768, *(base * k // 4 for base in (1024, 2048, 4096, 8192, 16384) for k in (4, 5, 6, 7)))


def bucket_of(length: int) -> int:
    """The shortest bucket that holds `length` tokens.

    Raises:
      UserError: if none does.
    """
    for bucket in BUCKETS:
        if length <= bucket:
            return bucket
    raise UserError(f"a text of {length} tokens exceeds the longest row, {BUCKETS[-1]} tokens: shorten it or exclude it")


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

    def ends(self) -> np.ndarray:
        """For each slot, the first later slot outside its subtree (see `remid_jax.models.decoder`)."""
        ends = np.full(len(self.tokens), len(self.tokens), np.int32)
        open_slots: list[int] = []
        for slot, depth in enumerate(self.positions):
            while open_slots and self.positions[open_slots[-1]] >= depth:
                ends[open_slots.pop()] = slot
            open_slots.append(slot)
        return ends

    def parents(self) -> np.ndarray:
        """For each slot the slot that predicts it; 0 for roots, which nothing predicts and nobody scores."""
        parents, path = np.zeros(len(self.tokens), np.int32), np.zeros(int(self.positions.max()) + 1, np.int32)
        for slot, depth in enumerate(self.positions):
            path[depth] = slot
            parents[slot] = path[depth - 1] if depth else 0
        return parents


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the scores of one continuation are found: row number, and indices into that row's `scored`."""

    row: int
    indices: np.ndarray


@dataclasses.dataclass(frozen=True)
class Plan:
    rows: tuple[Row, ...]
    places: tuple[tuple[Place, ...], ...]


@dataclasses.dataclass(frozen=True)
class _Sequence:
    ids: np.ndarray
    scored_from: int
    owner: tuple[int, int]


def plan_rows(requests: Sequence[Request], max_row: int, attention_knee: float) -> Plan:
    """Packs the complete list of requests into rows of at most `max_row` tokens (a longer sequence gets a row to itself).

    `attention_knee` is the row length at which attention costs as much as all other work per token.

    Raises:
      UserError: if a request has no prefix token, or a continuation nothing to score, or is longer than the longest bucket.
    """
    groups: dict[str, list[int]] = {}
    for r, request in enumerate(requests):
        groups.setdefault(request.group, []).append(r)
    rows: list[Row] = []
    places = [[Place(-1, np.empty(0, np.int32))] * len(request.continuations) for request in requests]
    for group, members in groups.items():
        sequences, shared = _sorted([sequence for r in members for sequence in _sequences(r, requests[r])])
        for first, last in _cuts([len(s.ids) for s in sequences], shared, max_row, attention_knee):
            row, found = _write_row(sequences[first:last], shared[first:last], group)
            for sequence, indices in zip(sequences[first:last], found, strict=True):
                places[sequence.owner[0]][sequence.owner[1]] = Place(len(rows), indices)
            rows.append(row)
    return Plan(tuple(rows), tuple(tuple(p) for p in places))


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


def row_cost(length: int | np.ndarray, attention_knee: float) -> float | np.ndarray:
    """What a row of a bucket's length takes, in tokens of a short one."""
    return length * (1 + length / attention_knee)


def _sorted(sequences: list[_Sequence]) -> tuple[list[_Sequence], list[int]]:
    """The sequences as sorted token strings, and what each shares with the one before it."""
    sequences = sorted(sequences, key=lambda s: (s.ids.astype(">i4").tobytes(), s.owner))
    return sequences, [0, *(_common_prefix(a.ids, b.ids) for a, b in itertools.pairwise(sequences))]


def _sequences(r: int, request: Request) -> list[_Sequence]:
    if not len(request.prefix):
        raise UserError(f"request {r} has an empty prefix: the first token has nothing to be predicted from")
    sequences = []
    for c, continuation in enumerate(request.continuations):
        if not len(continuation.ids):
            raise UserError(f"answer {c} of request {r} has no token to score")
        ids = np.concatenate([np.asarray(request.prefix, np.int32), np.asarray(continuation.ids, np.int32)])
        bucket_of(len(ids))
        sequences.append(_Sequence(ids, len(request.prefix), (r, c)))
    return sequences


def _common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    length = min(len(a), len(b))
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length


def _cuts(lengths: list[int], shared: list[int], max_row: int, knee: float) -> list[tuple[int, int]]:
    """The cheapest cut of sorted sequences into runs; a run [i, j) costs the bucket of its tree's size."""
    added = np.cumsum(np.array(lengths) - np.array(shared))
    best, cut = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1, np.int64)
    table = np.array(BUCKETS)
    for j in range(1, len(lengths) + 1):
        # A run that begins at i pays sequence i in full, and of the later ones only what they add.
        reach = np.searchsorted(added, added[j - 1] - max_row)
        starts = np.arange(min(reach, j - 1), j)
        sizes = added[j - 1] - added[starts] + np.array(lengths)[starts]
        bucket = table[np.searchsorted(table, sizes)]
        cost = best[starts] + row_cost(bucket, knee)
        cost[(sizes > max_row) & (starts < j - 1)] = np.inf
        choice = int(np.argmin(cost))
        best[j], cut[j] = cost[choice], starts[choice]
    runs, j = [], len(lengths)
    while j:
        runs.append((int(cut[j]), j))
        j = int(cut[j])
    return runs[::-1]


def _write_row(sequences: list[_Sequence], shared: list[int], group: str) -> tuple[Row, list[np.ndarray]]:
    """The tree of a run, and for each sequence the indices of its scored tokens among the row's scored slots."""
    tokens: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    path, paths, size = np.empty(0, np.int64), [], 0
    for n, sequence in enumerate(sequences):
        keep = shared[n] if n else 0
        new = len(sequence.ids) - keep
        tokens.append(sequence.ids[keep:])
        positions.append(np.arange(keep, len(sequence.ids)))
        path = np.concatenate([path[:keep], np.arange(size, size + new)])
        paths.append(path[sequence.scored_from :])
        size += new
    scored = np.unique(np.concatenate(paths))
    row = Row(np.concatenate(tokens), np.concatenate(positions).astype(np.int32), scored.astype(np.int32), group)
    return row, [np.searchsorted(scored, slots).astype(np.int32) for slots in paths]
