"""What was found, on a terminal or in a log file; an evaluation fits into 100 columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from rich import box
from rich import table as rich_table
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from remid_jax.reporting import cells, dial_tables, subjects, tables
from remid_jax.reporting.answers import answers
from remid_jax.reporting.cells import DAGGER, DASH, Cell, Column, Results, Table

WARNINGS_SHOWN = 6
GOLDEN_DROP = "Golden drop: the same loss of the golden replies alone, which is the estimator's own shift."


def summary(results: Results) -> Group:
    """The answer in words, warnings, the headline table with its legend, what else moved it, and the controls.

    Where a category has no golden replies, also self information, which needs none.
    `results` is the dictionary of results.json. Texts are never read as rich's markup.
    """
    return Group(*_parts(results))


def drawn(table: Table) -> Group:
    """The table, its notes, and why values are missing."""
    return Group(*_table(table))


def _parts(results: Results) -> Iterator[RenderableType]:
    warnings = results["warnings"]
    r = cells.prefix(cells.headline_key(results)[2])
    yield Text(f"\n{subjects.title(results)}")
    verdict = results["estimates"]["verdict"]
    yield Text(verdict["sentences"][0], style="bold")
    if verdict["shifts"]:
        yield from _table(answers(results))
        yield Text("")
    yield from (_indented(sentence, "") for sentence in (*verdict["beside"], results["first_line"]))
    for warning in warnings[:WARNINGS_SHOWN]:
        yield _indented(f"warning: {warning}", "yellow")
    if (more := len(warnings) - WARNINGS_SHOWN) > 0:
        yield _indented(f"and {more} more warning{'s' * (more > 1)} in the report", "yellow")
    headline = tables.headline(results)
    yield from _table(headline)
    legend = [
        f"{r}EMID: what {r}EMI loses from {subjects.reference(results)} to here; larger = worse. In brackets: "
        f"{cells.level(results)} intervals"
        + (f", {DAGGER} = not validated for {_unlike(results)}." if headline.has_unvalidated else "."),
    ]
    yield from (_indented(line, "dim") for line in legend)
    for table in dial_tables.dial_tables(results):
        yield from _table(table)
    yield from _table(tables.conditions(results))
    yield _indented(GOLDEN_DROP, "dim")
    if tables.without_golden(results):
        yield from _table(tables.self_information(results))
    yield from _table(tables.control_ranges(results))


def _unlike(results: Results) -> str:
    """What keeps intervals of the headline from being validated ones."""
    crossed = any("clusters" in category for category in results["estimates"]["categories"].values())
    return "clusters of several kinds" if crossed else "so few lineages"


def _indented(line: str, style: str) -> Padding:
    return Padding(Text(line, style=style), (0, 0, 0, 2), expand=False)


def _table(table: Table) -> Iterator[RenderableType]:
    yield Text("\n" + table.title, style="bold")
    yield _Whole(table)
    yield from (_indented(line, "dim") for line in (*table.notes, *(f"{DASH} {reason}" for reason in table.reasons)))


@dataclasses.dataclass(frozen=True)
class _Whole:
    """A table of which nothing is cut: columns for which there is no room stand below, beside the labels again."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        first, last = 0, len(self.table.columns)
        while first < last:
            end = last
            while end > first + 1 and self._width(first, end, console, options) > options.max_width:
                end -= 1
            yield self._columns(first, end)
            first = end

    def _width(self, first: int, end: int, console: Console, options: ConsoleOptions) -> int:
        return console.measure(self._columns(first, end), options=options.update(max_width=10_000)).maximum

    def _columns(self, first: int, end: int) -> rich_table.Table:
        found = rich_table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        found.add_column(self.table.label, no_wrap=True)
        columns = self.table.columns[first:end]
        for column in columns:
            found.add_column(Text(column.name), justify="right", overflow="fold")
        for row in self.table.rows:
            if row.kind == "shift" and row is not self.table.rows[0]:
                found.add_section()
            cells = [_cell(cell, column) for cell, column in zip(row.cells[first:end], columns, strict=True)]
            found.add_row(Text(row.label), *cells, style="bold" if row.kind == "shift" else "")
        return found


def _cell(cell: Cell, column: Column) -> Text:
    if not (cell.interval and column.interval):
        return Text(cell.text)
    return Text(f"{cell.text} {cell.interval}{'' if cell.validated else DAGGER}")
