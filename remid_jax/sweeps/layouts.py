"""A sweep and its tables: which points are a row, and which of their numbers are its columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from remid_jax.sweeps.points import Point

STAR = "*"


@dataclasses.dataclass(frozen=True)
class Selector:
    """A column of a table.

    `path` leads through the names of a row's point and of its summary to a number, such as "evaluate.replies.tokens"; "{word}"
    stands for a word of the row. Where it ends in ".*" there is a column for each name there, which also replaces the star in
    the column's name and meaning. What can be shown is

        a number                                       the mean over the row's runs, written in `form`
        an estimate, {"value", "interval", ...}        with its interval
        a text                                         that of the row's first run
        {category: {lineage: {record: number}}}        by `minus_reference` alone: the mean difference, paired by record

    `minus_reference` subtracts what the reference row has there, run by run. `spread` shows the least and the greatest of
    several runs. `otherwise` stands where a row has no such point.
    """

    name: str
    path: str
    form: str = ""
    meaning: str = ""
    minus_reference: bool = False
    spread: bool = True
    otherwise: float | None = None


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of a table: runs, such as seeds, each of points by the names that paths begin with; and words for paths."""

    label: str
    runs: Sequence[Mapping[str, str]]
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Layout:
    """A table of a sweep.

    In title and notes "{path}" stands for a number of the first row that has been run. `reference` is the label of the row that
    others are compared with; `by_first_column` puts the row with the least number there first; `runs` is the name of a last
    column, which counts each row's runs.
    """

    title: str
    label: str
    lines: Sequence[Line]
    columns: Sequence[Selector]
    reference: str | None = None
    by_first_column: bool = False
    runs: str | None = None
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Points, and the page of what they found: the `command` that writes it, what it says before its tables, and these."""

    title: str
    command: str
    points: Sequence[Point]
    layouts: Sequence[Layout]
    introduction: str = ""


def selected(summary: object, path: Sequence[str]) -> Any:
    """Returns what stands in nested mappings under the names of `path`; None where one is not there."""
    for name in path:
        summary = summary.get(name) if isinstance(summary, Mapping) else None
    return summary
