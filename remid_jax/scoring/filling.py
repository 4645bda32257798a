"""How rows are filled and how many make a device step: the least work, filler and the price of compilations counted in.

All of it goes by the rows of one group alone, so that an edit of another group changes neither a row nor the shape it is
computed in. That matters for more than time: on some backends the last bits of a row depend on how many rows share its step.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.errors import UserError
from remid_jax.models.attention.attend import BLOCK, LONGEST_TRIANGLE

# One table for rows and prompts: each length in use costs a compilation, each gap between two costs padding. Up to 512 there is
# one every 64 tokens from 256 on, beyond it four an octave.
BUCKETS = (
    *(64, 128, 256, 320, 384, 448),
    *(base * k // 4 for base in (512, 1024, 2048, 4096, 8192, 16384) for k in (4, 5, 6, 7)),
)
COMPILATION = 256  # tokens: what a compilation costs, shared among the runs that take it from the disk
STEP = 128  # tokens: what a step costs beside its rows; large ones keep a device busier
LEAST_SHARE = 4  # a step holds at least one part in so many of `tokens_per_step`: less leaves a device idle
ABOUT = 1.03  # choices that cost so little more than the cheapest cost the same: among them the one with least filler is taken
SAMPLE = 512  # trees that the choice of a capacity looks at


def bucket_of(length: int) -> int:
    """The shortest bucket that holds `length` tokens.

    Raises:
      UserError: if none does.
    """
    if length > BUCKETS[-1]:
        raise UserError(f"a text of {length} tokens exceeds the longest row, {BUCKETS[-1]} tokens: shorten it or exclude it")
    return BUCKETS[bisect.bisect_left(BUCKETS, length)]


def row_cost(length: int | np.ndarray, attention_knee: float) -> float | np.ndarray:
    """What a row of a bucket's length takes, in tokens of a short one."""
    return length * (1 + length / attention_knee)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What rows and steps may hold.

    Attributes:
      max_row: tokens a row of several sequences holds at most.
      attention_knee: the row length at which attention costs as much as all other work per token.
      tokens_per_step: tokens that a step holds at most, unless one row a device is more.
      shares: the devices that share a step's rows evenly.
    """

    max_row: int
    attention_knee: float
    tokens_per_step: int = 2048
    shares: int = 1

    def sizes(self, bucket: int) -> list[int]:
        """Returns how many rows of a bucket a step may hold, largest first: powers of two times the devices."""
        most = _power_of_two(self.tokens_per_step // (bucket * self.shares))
        least = min(most, _power_of_two(self.tokens_per_step // LEAST_SHARE // (bucket * self.shares)))
        return [self.shares << n for n in range(most.bit_length() - 1, least.bit_length() - 2, -1)]

    def steps(self, bucket: int, count: int) -> Steps:
        """Returns the steps of `count` rows of a bucket, largest first.

        The last steps are ever smaller; the very last is filled up where a smaller one is not worth its compilation.
        """
        sizes, choices = self.sizes(bucket), []
        for first, last in itertools.combinations_with_replacement(range(len(sizes)), 2):
            left, runs = count, []
            for size in sizes[first:last]:
                runs.append((size, left // size))
                left %= size
            runs.append((sizes[last], -(-left // sizes[last])))
            choices.append(Steps(tuple((size, number) for size, number in runs if number)))
        return min(choices, key=lambda steps: (steps.rows * float(row_cost(bucket, self.attention_knee)) + steps.price, steps))


class Steps(NamedTuple):
    """Steps of rows of one length: (rows in a step, how many such steps), largest first."""

    runs: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        """How many rows are computed, filler among them."""
        return sum(size * number for size, number in self.runs)

    @property
    def price(self) -> float:
        """What they cost beside their rows, in tokens."""
        return COMPILATION * len(self.runs) + STEP * sum(number for _, number in self.runs)

    def sizes(self) -> Iterator[int]:
        """Yields for each row in turn how many its step holds."""
        return (size for size, number in self.runs for _ in range(size * number))


def fill_rows(trees: Sequence[int], looks: Sequence[int], head: int, limits: Limits) -> list[list[int]]:
    """Returns which trees share a row, by number, so that the steps of all rows cost least.

    Each tree is so many tokens long; the first `head` tokens are the same in all of them, so a row holds those once. Of
    each tree `looks` holds twice what all of its tokens see: the squared lengths of its branches, less what they share.
    """
    if len(trees) == 1:
        return [[0]]
    order = sorted(range(len(trees)), key=lambda n: (-trees[n], n))
    every = -(-len(trees) // SAMPLE)
    sample = [trees[n] for n in order[::every]]
    largest = max(bucket_of(min(limits.max_row, BUCKETS[-1])), bucket_of(sample[0]))
    seen = [looks[n] - head**2 for n in order[::every]]
    choices = []
    for capacity in BUCKETS[BUCKETS.index(bucket_of(sample[-1])) : BUCKETS.index(largest) + 1]:
        rows = _filled(sample, head, capacity, limits.max_row)
        lengths = [bucket_of(head + sum(sample[n] - head for n in row)) for row in rows]
        made = {bucket: limits.steps(bucket, every * count) for bucket, count in collections.Counter(lengths).items()}
        looked = sum(_looked(length, head**2 + sum(seen[n] for n in row)) for length, row in zip(lengths, rows, strict=True))
        work = sum(steps.rows * bucket + steps.price for bucket, steps in made.items())
        work += every * looked / limits.attention_knee
        choices.append((work, sum(steps.rows * bucket for bucket, steps in made.items()), capacity))
    least = min(cost for cost, *_ in choices)
    _, capacity = min((tokens, capacity) for cost, tokens, capacity in choices if cost <= ABOUT * least)
    return [[order[n] for n in row] for row in _filled([trees[n] for n in order], head, capacity, limits.max_row)]


def _looked(length: int, needed: int) -> int:
    """What attention looks at in a row: all earlier slots in a short one; in a long one blocks of what its trees need."""
    return length**2 if length <= LONGEST_TRIANGLE else min(length**2, needed + length * BLOCK)


def _filled(trees: Sequence[int], head: int, capacity: int, max_row: int) -> list[list[int]]:
    """Rows one after the other: the largest tree left, and then whatever largest still fits. `trees` are sorted, largest first.

    A row is as long as `capacity`, or the bucket of its largest tree if that is longer.
    """
    waiting: dict[int, list[int]] = {}
    for n in range(len(trees) - 1, -1, -1):
        waiting.setdefault(trees[n] - head, []).append(n)
    lengths = sorted(waiting)
    rows = []
    while lengths:
        length, row = len(lengths) - 1, []
        room = min(max(capacity, bucket_of(head + lengths[-1])), max_row) - head
        while length >= 0:
            size = lengths[length]
            row.append(waiting[size].pop())
            room -= size
            if not waiting[size]:
                del lengths[length]
            length = bisect.bisect_right(lengths, room) - 1
        rows.append(row)
    return rows


def _power_of_two(number: int) -> int:
    """The largest that is not above `number`, and at least 1."""
    return 1 << max(number, 1).bit_length() - 1
