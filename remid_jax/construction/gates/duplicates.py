"""Is the record a near copy of another?"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from remid_jax.construction.gates.fields import SHORT, are_related, excerpt, folded, weight
from remid_jax.construction.gates.minhash import candidate_pairs
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance, shares

ALIKE = 80.0
"""Likeness (rapidfuzz's `ratio`, percent) from which on texts are near copies. The embedded benchmark's golden replies are at
most 49 alike, its personas and dialogues of unlike lineages 50; a text with a few words changed is at 90 and more."""
ALL_PAIRS = 10_000
"""Records up to which every text is compared with every other: minutes. With more, with those that `minhash` finds."""
_BLOCK = 512


@dataclass(frozen=True)
class _Kind:
    """A text of a record, and which records must not have it nearly in common."""

    name: str
    text: Callable[[Record], str]
    must_differ: Callable[[Record, Record], bool]


def _dialogues_must_differ(one: Record, other: Record) -> bool:
    """Shifts of one lineage may edit its dialogue; within a category it may only go on (one record a reply)."""
    if not are_related(one, other):
        return True
    shorter, longer = sorted((one.dialogue, other.dialogue), key=len)
    goes_on = len(shorter) < len(longer) and longer[: len(shorter)] == shorter
    return one.category == other.category and not goes_on


_KINDS = (
    _Kind("golden reply", lambda record: record.golden, lambda one, other: True),
    _Kind("user persona", lambda record: record.user_persona, lambda one, other: not are_related(one, other)),
    _Kind("dialogue", lambda record: "\n".join(turn.text for turn in record.dialogue), _dialogues_must_differ),
)


class Duplicates:
    """Rejects a record with a golden reply that nearly is another's, a persona or a dialogue that nearly is an unrelated one's.

    Of such records the first is kept. A persona belongs to all of its lineage; a dialogue may be edited within it, in another
    category. Case, spaces and widths of letters do not count; texts of fewer than eight words are alike only if they are equal.
    """

    name = "duplicates"

    def __init__(self, all_pairs: int = ALL_PAIRS):
        self._all_pairs = all_pairs

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        faults: dict[int, str] = {}
        for kind, advance in zip(_KINDS, shares(report, [1] * len(_KINDS)), strict=True):
            texts = [folded(kind.text(record)) for record in records]
            for index, first, likeness in self._copies(kind, texts, records, advance):
                if index not in faults:
                    shown = excerpt(kind.text(records[index]))
                    faults[index] = f"{kind.name} nearly twice: {likeness:.0f}% alike that of {records[first].id!r}, {shown}"
        return faults

    def _copies(
        self, kind: _Kind, texts: Sequence[str], records: Sequence[Record], report: Advance
    ) -> Iterator[tuple[int, int, float]]:
        """Yields (record, the one before it that it copies, percent)."""
        distinct = list(dict.fromkeys(texts))
        alike = alike_texts(distinct, len(records) <= self._all_pairs, report)
        originals: dict[str, list[int]] = collections.defaultdict(list)
        for index, text in enumerate(texts):
            near = ((first, likeness) for other, likeness in alike[text] for first in originals[other])
            hit = next((pair for pair in near if text and kind.must_differ(records[pair[0]], records[index])), None)
            if hit is None:
                originals[text].append(index)
            else:
                yield index, *hit


def alike_texts(distinct: Sequence[str], all_pairs: bool, report: Advance) -> dict[str, list[tuple[str, float]]]:
    """Returns for each text itself, at 100, and the others that are `ALIKE` with how much they are, the more alike first.

    `report` is called with (texts done, in all). Every pair is compared, or those that `minhash` finds.
    """
    alike = {text: [(text, 100.0)] for text in distinct}
    long = [text for text in distinct if weight(text) >= SHORT]
    for i, j, likeness in _all_pairs(long, report) if all_pairs else _minhash_pairs(long, report):
        alike[long[i]].append((long[j], likeness))
        alike[long[j]].append((long[i], likeness))
    report(len(distinct), len(distinct))
    return {text: sorted(near, key=lambda pair: -pair[1]) for text, near in alike.items()}


def _all_pairs(texts: Sequence[str], report: Advance) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        ratios = process.cdist(block, texts[: start + len(block)], scorer=fuzz.ratio, score_cutoff=ALIKE, workers=-1)
        for row, column in zip(*np.nonzero(ratios), strict=True):
            if column < start + row:
                yield int(column), int(start + row), float(ratios[row, column])
        report(start + len(block), len(texts))


def _minhash_pairs(texts: Sequence[str], report: Advance) -> Iterable[tuple[int, int, float]]:
    pairs = candidate_pairs(texts, report=lambda done: report(done, len(texts)))
    for i, j in sorted(pairs):
        if likeness := fuzz.ratio(texts[i], texts[j], score_cutoff=ALIKE):
            yield i, j, likeness
