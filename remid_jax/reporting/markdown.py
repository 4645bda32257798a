"""A table as lines of Markdown; intervals stand behind their values."""

from __future__ import annotations

from collections.abc import Iterator

from remid_jax.reporting.cells import DAGGER, DASH, Cell, Table


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
