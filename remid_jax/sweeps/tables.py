"""The tables of a sweep, for a terminal and a page of Markdown, from its index."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.information.intervals import Estimate
from remid_jax.information.paired import mean_difference
from remid_jax.reporting import markdown
from remid_jax.reporting.cells import DAGGER, DASH, Cell, Column, Row, Table, cell, measure, plain
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.layouts import STAR, Layout, Line, Selector, Sweep, selected

NOT_RUN = "not run"
Values = dict[int, Any]
"""What a row's runs have at a path, by the number of the run."""


def table(layout: Layout, index: Index) -> Table:
    """Returns the table of what stands in the index; a row of which nothing has been run says so."""
    return _Drawn(layout, index).table()


def page(sweep: Sweep, index: Index) -> str:
    """Returns all tables as a page of Markdown."""
    lines = [
        f"# {sweep.title}",
        "",
        f"Written by `{sweep.command}`; every number, with its commit and hours, is in the JSON beside it.",
        *([sweep.introduction] if sweep.introduction else []),
        "",
    ]
    for layout in sweep.layouts:
        shown = table(layout, index)
        lines += [f"## {shown.title}", "", *markdown.drawn(shown), ""]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """A layout over an index."""

    layout: Layout
    index: Index

    def table(self) -> Table:
        selectors = [one for selector in self.layout.columns for one in self._expanded(selector)]
        columns = [Column(selector.name, selector.meaning) for selector in selectors]
        if self.layout.runs:
            columns.append(Column(self.layout.runs))
        rows = [self._row(line, selectors, len(columns)) for line in self.layout.lines]
        if self.layout.by_first_column:
            rows.sort(key=lambda row: np.inf if row.cells[0].value is None else row.cells[0].value)
        notes = [
            *_intervals([row.cells[column] for column in range(len(selectors)) for row in rows]),
            *map(self._filled, self.layout.notes),
        ]
        return Table(self._filled(self.layout.title), columns, rows, self.layout.label, notes)

    def _row(self, line: Line, selectors: Sequence[Selector], width: int) -> Row:
        done = self._done(line)
        if not done:
            return Row(line.label, [Cell(NOT_RUN), *(Cell() for _ in range(width - 1))])
        cells = [self._cell(selector, line) for selector in selectors]
        return Row(line.label, [*cells, *([plain(len(done))] if self.layout.runs else [])])

    def _cell(self, selector: Selector, line: Line) -> Cell:
        values = self._compared(selector, line) if selector.minus_reference else self._values(selector.path, line)
        if not values:
            return Cell(DASH) if selector.otherwise is None else plain(selector.otherwise, selector.form)
        first = next(iter(values.values()))
        if _is_estimate(first) and len(values) == 1:
            return cell(first)
        if isinstance(first, str):
            return Cell(first)
        numbers = [value["value"] if _is_estimate(value) else value for value in values.values()]
        numbers = [number for number in numbers if number is not None]
        if not numbers:
            return Cell(DASH)
        number = numbers[0] if len(numbers) == 1 else float(np.mean(numbers))
        least, greatest = (f"{bound:{selector.form}}" for bound in (min(numbers), max(numbers)))
        spread = f"({least} .. {greatest})" if selector.spread and len(numbers) > 1 else ""
        return Cell(f"{number:{selector.form}}", number, spread)

    def _compared(self, selector: Selector, line: Line) -> Values:
        """The runs' differences from those of the reference, or the one mean difference over all of them."""
        reference = next(other for other in self.layout.lines if other.label == self.layout.reference)
        if line.label == reference.label:
            return {}
        mine, other = self._values(selector.path, line), self._values(selector.path, reference)
        both = [run for run in mine if run in other]
        if both and isinstance(mine[both[0]], Mapping):
            return {0: _paired([mine[run] for run in both], [other[run] for run in both])}
        return {run: mine[run] - other[run] for run in both}

    def _values(self, path: str, line: Line) -> Values:
        """What the runs that are done have at a path."""
        name, *rest = [step.format_map(dict(line.words)) for step in path.split(".")]  # a word may hold a dot
        points = {number: line.runs[number].get(name) for number in self._done(line)}
        values = {number: selected(self.index.summary(point), rest) for number, point in points.items() if point}
        return {number: value for number, value in values.items() if value is not None}

    def _done(self, line: Line) -> list[int]:
        return [number for number, run in enumerate(line.runs) if all(point in self.index for point in run.values())]

    def _expanded(self, selector: Selector) -> Iterator[Selector]:
        """A selector for each name that its star stands for, in any row."""
        above, star, rest = selector.path.partition(f".{STAR}")
        if not star:
            yield selector
            return
        names = [name for line in self.layout.lines for value in self._values(above, line).values() for name in value]
        for name in dict.fromkeys(names):
            changes = {field: getattr(selector, field).replace(STAR, name) for field in ("name", "meaning")}
            yield dataclasses.replace(selector, path=f"{above}.{name}{rest}", **changes)

    def _filled(self, text: str) -> str:
        """The text with numbers of the first row that has been run in the places of their paths."""
        line = next((line for line in self.layout.lines if self._done(line)), None)

        def value(found: re.Match) -> str:
            shown = next(iter(self._values(found[1], line).values()), None) if line else None
            if isinstance(shown, Mapping):
                return measure(shown["estimator"], shown["unit"])
            return DASH if shown is None else format(shown, found[2])

        return re.sub(r"\{([^:}]+):?([^}]*)\}", value, text)


def _intervals(cells: Sequence[Cell]) -> Iterator[str]:
    """What brackets mean, if they are intervals."""
    levels = dict.fromkeys(shown.note.partition(" ")[0] for shown in cells if shown.interval and shown.note)
    if levels:
        more = f", {DAGGER} = not validated for so few lineages" if not all(shown.validated for shown in cells) else ""
        yield f"In brackets: {' and '.join(levels)} intervals over lineages{more}."


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and "interval" in value


def _paired(mine: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> Estimate:
    """The mean difference over runs, categories and records, from {category: {lineage: {record: value}}} of each run."""
    lineages = {
        category: np.array([lineage for lineage, values in of_category.items() for _ in values])
        for category, of_category in mine[0].items()
    }

    def means(runs: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        return {
            category: np.mean(
                [
                    [run[category][lineage][record] for lineage, values in of_category.items() for record in values]
                    for run in runs
                ],
                axis=0,
            )
            for category, of_category in mine[0].items()
        }

    return mean_difference(means(mine), means(other), lineages)
