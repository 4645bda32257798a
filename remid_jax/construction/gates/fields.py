"""The texts of a record by their field, and as they are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from remid_jax.dialogues.copying import units
from remid_jax.dialogues.records import Record

SHORT = 16
"""Weight (`dialogues.copying`: eight words, or sixteen characters of a script without spaces) below which texts are alike by
chance: "Thank you so much!" is nobody's own."""


class Field(NamedTuple):
    """A text, the field that it stands in, and whether the character says it."""

    name: str
    text: str
    is_said: bool = False


def fields_of(record: Record) -> Iterator[Field]:
    """Yields the texts of a record in order, by the names of RPGBench's keys."""
    yield from context_fields(record)
    yield Field("agent_golden_response", record.golden, True)


def context_fields(record: Record) -> Iterator[Field]:
    """Yields the texts of a record's context in order; of the character all that are in it, without their keys."""
    yield Field("user_persona", record.user_persona)
    yield from _texts_in(record.agent_character, "agent_character")
    for place, turn in enumerate(record.dialogue):
        yield Field(f"dialogue_context[{place}]", turn.text, turn.speaker == "agent")


def _texts_in(value: object, name: str) -> Iterator[Field]:
    if isinstance(value, str):
        yield Field(name, value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts_in(item, f"{name}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts_in(item, f"{name}[{place}]")


def folded(text: str) -> str:
    """Returns a text without what does not count when texts are compared: case, widths of letters, kinds of space.

    >>> folded("Good  Day,\\nＡda!")
    'good day, ada!'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def weight(text: str) -> int:
    """Returns what a text weighs: two a word, one a character of a script without spaces."""
    return sum(unit.weight for unit in units(text))


def are_related(one: Record, other: Record) -> bool:
    """Whether two records share a lineage, or one of the clusters that it is made of."""
    return bool(one.origins & other.origins)


def excerpt(text: str, most: int = 60) -> str:
    """Returns a text in quotes on one line, cut where it is longer than `most` characters."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else line[: most - 3] + "...")
