"""Is a word-level composition what it claims to be: a small edit that asks for another reply?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from remid_jax.construction.gates.fields import folded
from remid_jax.dialogues.copying import units
from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance

TURN_LEVEL, WORD_LEVEL = RPGBENCH.shifts["dialogue"]
MOST_EDITED = 16
"""Words (characters of a script without spaces) put in and left out, together: a word replaced is two. The embedded benchmark's
records have 1 to 10, half of them at most 3."""
MOST_ALIKE = 70.0
"""Likeness of the golden replies before and after the edit, percent (rapidfuzz's `ratio`). Those of the embedded benchmark are
at 42 to 47, unrelated replies at 49 or below; near copies begin at 80 (`duplicates.ALIKE`)."""


class Composition:
    """Rejects a word-level record that changes nothing or much of its source, or whose golden reply changes little.

    `sources` maps a record's id to the record that it was edited from; records that are not in it are let pass. Turn-level
    records are for `Threads`.
    """

    name = "composition"

    def __init__(self, sources: Mapping[str, Sequence[Record]]):
        self._sources = sources

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            if record.category == WORD_LEVEL:
                for source in self._sources.get(record.id, ()):
                    if why := _fault(record, source):
                        faults[index] = why
            report(index + 1, len(records))
        return faults


def _fault(record: Record, source: Record) -> str | None:
    edited = edited_words(source, record)
    if not edited:
        return f"nothing was edited: the context is that of {source.id!r}"
    if edited > MOST_EDITED:
        return f"edited too much: {edited} words put in and left out against {source.id!r}, at most {MOST_EDITED}"
    alike = fuzz.ratio(folded(source.golden), folded(record.golden))
    if alike >= MOST_ALIKE:
        return f"golden reply changed too little: {alike:.0f}% alike that of {source.id!r}, must be below {MOST_ALIKE:.0f}%"
    return None


def edited_words(one: Record, other: Record) -> int:
    """Returns how many words of the context are put in and left out, together."""
    return Indel.distance(_words(one), _words(other))


def _words(record: Record) -> list[str]:
    """The words of a record's context, in order."""
    texts = (record.user_persona, record.character_text, *(turn.text for turn in record.dialogue))
    return [unit.folded for text in texts for unit in units(text)]
