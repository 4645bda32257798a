"""Lines of Markdown: paragraphs, plain tables, and tables of cells, whose intervals stand behind their values."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from remid_jax.reporting.cells import DAGGER, DASH, Cell, Table

WIDTH = 120  # of a line of a page


def paragraph(text: str) -> Iterator[str]:
    """Yields lines of at most `WIDTH` characters, and an empty one."""
    yield from textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    yield ""


def plain_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yields the lines of a table, and an empty one; numbers are written by `written`."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(written, row))} |"
    yield ""


def written(value: Any) -> str:
    """Returns a cell's text: numbers that are not counts with three digits, - for None."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def drawn(table: Table) -> Iterator[str]:
    """The table, then its notes, what its columns mean, and why values are missing."""
    yield f"| {table.label} | {' | '.join(column.name for column in table.columns)} |"
    yield f"|{'---|' * (len(table.columns) + 1)}"
    for row in table.rows:
        yield f"| {row.label} | {' | '.join(_written(cell) for cell in row.cells)} |"
    yield ""
    meanings = [f"{column.name}: {column.meaning}." for column in table.columns if column.meaning]
    for line in (*table.notes, *meanings, *(f"{DASH} {reason}" for reason in table.reasons)):
        yield f"{line}  "


def _written(cell: Cell) -> str:
    return f"{cell.text} {cell.interval}{'' if cell.validated else DAGGER}".strip()
