"""Is a turn-level composition what it claims to be: the dialogues it was merged from, each in its order and none alone?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from rapidfuzz import fuzz

from remid_jax.construction.gates.composition import MOST_ALIKE, TURN_LEVEL
from remid_jax.construction.gates.fields import folded
from remid_jax.dialogues.copying import units
from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance

LETTERS, SHARED = 4, 3
"""A turn stands in a merged dialogue where a turn of the same speaker has three of its words of four letters or more: a merge
changes wordings, and shortens."""
LEAST = 3
"""Turns of a source, of eight with its golden reply, that stand in what was made of it. Of the embedded benchmark's 3 to 6 do;
of 304 dialogues that are no sources, 64 of them of the same user, 0 to 2."""
IN_ORDER = 0.5
"""Share of these turns that stand in their order, the longest such series. The embedded benchmark's are at .6 to 1."""


class Threads:
    """Rejects a turn-level record in which a source hardly stands, stands in another order, or ends before the other begins; or
    whose golden reply is that of one source.

    `sources` maps a record's id to the records that it was merged from, those that are known; records that are not in it are
    let pass, and all where a manifest's turn-level category is not RPGBench's, which is in English.
    """

    name = "threads"

    def __init__(self, sources: Mapping[str, Sequence[Record]]):
        self._sources = sources

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        faults: dict[int, str] = {}
        is_ours = manifest.categories.get(TURN_LEVEL) == RPGBENCH.categories[TURN_LEVEL]
        for index, record in enumerate(records):
            sources = self._sources.get(record.id, ()) if is_ours and record.category == TURN_LEVEL else ()
            if why := next(_faults(record, sources), None):
                faults[index] = why
            report(index + 1, len(records))
        return faults


def places_of(source: Record, record: Record) -> list[int]:
    """Returns where the turns of a source stand in a merged dialogue, in the source's order; turns that stand nowhere are left
    out. The golden replies are the last turns."""
    turns = _turns(record)
    places = []
    for speaker, words in _turns(source):
        shared = [len(words & others) if speaker == other else 0 for other, others in turns]
        if max(shared) >= SHARED:
            places.append(shared.index(max(shared)))
    return places


def _faults(record: Record, sources: Sequence[Record]) -> Iterator[str]:
    last = len(record.dialogue)
    spans = []
    for source in sources:
        places = places_of(source, record)
        if len(places) < LEAST:
            count = f"{len(places)} of {len(source.dialogue) + 1} turns"
            yield f"thread is lacking: {count} of {source.id!r} stand in the dialogue, at least {LEAST}"
        series = _longest_series(places)
        if series < IN_ORDER * len(places):
            yield f"thread out of order: {series} of {len(places)} turns of {source.id!r} are in their order, at least half"
        alike = fuzz.ratio(folded(source.golden), folded(record.golden))
        if alike >= MOST_ALIKE:
            yield f"golden reply of one thread: {alike:.0f}% alike that of {source.id!r}, must be below {MOST_ALIKE:.0f}%"
        spans.append([place for place in places if place < last])  # the golden reply ends both
    for (one, places), (other, others) in itertools.permutations(zip(sources, spans, strict=True), 2):
        if places and others and max(places) < min(others):
            yield f"one thread after the other: all turns of {one.id!r} stand before those of {other.id!r}"


def _longest_series(places: Sequence[int]) -> int:
    """The length of the longest series of places that never goes back, others between them left out."""
    lengths: list[int] = []
    for place, end in enumerate(places):
        lengths.append(1 + max((lengths[before] for before in range(place) if places[before] <= end), default=0))
    return max(lengths, default=0)


def _turns(record: Record) -> list[tuple[str, set[str]]]:
    """(speaker, words) of each turn, the golden reply last."""
    said = [*record.dialogue, ("agent", record.golden)]
    return [(speaker, {unit.folded for unit in units(text) if len(unit.folded) >= LETTERS}) for speaker, text in said]
