"""What every table is made of: cells with their texts and numbers, columns, rows; and how a number is written.

The same cells are printed on a terminal, in Markdown and in HTML.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remid_jax.information.intervals import Estimate, is_trusted
from remid_jax.reporting.subjects import Results

DASH = "–"
DAGGER = "†"
UNITS = {
    "token_rate": "nats per token",
    "response": "nats per reply",
    "per_token": "nats per token",
    "per_char": "nats per character",
}
FORMS = {
    "response": "+.2f",
    "relative": "+.0%",
    "share": ".0%",
    "points": "+.0%",
    "misplaced": ".0%",
    "tokens": ".1f",
    "chars": ".1f",
    "rank_correlation": "+.2f",
    "score": ".2f",
}


LEAST = {"share": 0.0, "rank_correlation": -1.0}
"""What is at most 1, and at least this."""


@dataclass(frozen=True)
class Cell:
    """`text` is what is read, `value` the same number in full; a cell without a value tells its `reason`."""

    text: str = ""
    value: float | None = None
    interval: str = ""
    validated: bool = True
    excludes_zero: bool = False
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Column:
    name: str
    meaning: str = ""
    group: str = ""
    interval: bool = True  # False: the interval is left to the note, where there is no room for it


@dataclass(frozen=True)
class Row:
    label: str
    cells: Sequence[Cell]
    kind: str = "category"  # or "shift", the mean of the categories below it


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    label: str = "category"
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def reasons(self) -> list[str]:
        """Why values are missing, each reason once."""
        return list(dict.fromkeys(cell.reason for row in self.rows for cell in row.cells if cell.reason))

    @property
    def has_unvalidated(self) -> bool:
        """Whether an interval that is printed is not validated."""
        return any(column.interval and not cell.validated for row in self.rows for cell, column in self._cells(row))

    @property
    def has_bold(self) -> bool:
        """Whether an interval that is not printed excludes 0, which is shown by a bold value."""
        return any(cell.excludes_zero and not column.interval for row in self.rows for cell, column in self._cells(row))

    def _cells(self, row: Row) -> Iterator[tuple[Cell, Column]]:
        return zip(row.cells, self.columns, strict=True)

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The groups of neighbouring columns and how many columns each has."""
        return [(group, len(list(members))) for group, members in itertools.groupby(column.group for column in self.columns)]


def groups(results: Results) -> Iterator[tuple[str | None, list[str]]]:
    """(shift, its categories) in the order of every table and figure; first the categories without a shift (references)."""
    categories = results["categories"]
    for shift in (None, *results["estimates"]["shifts"]):
        if names := [name for name, category in categories.items() if category["shift"] == shift]:
            yield shift, names


def headline_key(results: Results) -> tuple[str, str, str]:
    """(estimator, unit, scorer) of the headline."""
    headline = results["estimates"]["headline"]
    return headline["estimator"], headline["unit"], headline["scorer"]


def prefix(scorer: str) -> str:
    """R-EMI is EMI with reasoning in the estimator's context."""
    return "R-" if scorer == "reasoned" else ""


def given(scorer: str) -> str:
    return "with reasoning" if scorer == "reasoned" else "without reasoning"


def level(results: Results) -> str:
    return format(results["estimates"]["settings"]["level"], ".0%")


def measure(estimator: str, unit: str) -> str:
    """Such as "club token_rate (nats per token)"."""
    return f"{estimator} {unit} ({UNITS[unit]})"


def contexts(estimates: Mapping[str, Any]) -> str:
    """Such as "4 in each of up to 2 folds of a category": among how many contexts a reply is told apart."""
    folds = max(category.get("blocks", 1) for category in estimates["categories"].values())
    return f"{estimates['n']} in each of up to {folds} folds of a category" if folds > 1 else f"{estimates['n']} a category"


def write_value(value: float, unit: str) -> str:
    form = FORMS.get(unit, "+.4f")
    return "0" if value == 0 and not form.endswith("%") else format(value, form)


def cell(number: Estimate | None, reason: str = "", form: str = "") -> Cell:
    """The cell of a `number` of the estimates, in its unit's form or another; None gives a dash with `reason`."""

    if number is None:
        return Cell(DASH, reason=reason)
    value, bounds, unit = number["value"], number["interval"], number["unit"]

    def written(value: float) -> str:
        return format(value, form) if form else write_value(value, unit)

    if value is None or bounds is None:
        return Cell(DASH, reason=number["reason"])
    text = written(value)
    if bounds["low"] is None or bounds["high"] is None:
        return Cell(text, value, note=f"no interval: {bounds['reason']}")
    if bounds["low"] == bounds["high"]:
        return Cell(text, value)  # a control that is exactly 0, and a share of 0%, have no spread
    ends = (bounds["low"], bounds["high"])
    if unit in LEAST:
        ends = (max(ends[0], LEAST[unit]), min(ends[1], 1.0))  # the jackknife of a share passes 0% and 100%
    low, high = map(written, ends)
    note = f"{bounds['level']:.0%} {bounds['method']} ({low}, {high}), {bounds['clusters']} clusters"
    if (beside := bounds["bootstrap"]) and beside["low"] is not None and beside["high"] is not None:
        note += f"; bootstrap ({', '.join(map(written, (beside['low'], beside['high'])))})"
    excludes_zero = text[0] in "+-" and (bounds["low"] > 0 or bounds["high"] < 0)
    return Cell(text, value, f"({low}, {high})", is_trusted(bounds), excludes_zero, note)


def plain(value: float | None, form: str = "", reason: str = "") -> Cell:
    """The cell of a count or a share that has no interval."""
    return Cell(DASH, reason=reason) if value is None else Cell(format(value, form), value)


def rows_of(
    results: Results, of_category: Callable[[str], Sequence[Cell]], of_shift: Callable[[str], Sequence[Cell]] | None = None
) -> list[Row]:
    """A row a category; with `of_shift`, the mean of each shift above its categories."""
    rows = []
    for shift, names in groups(results):
        if shift is not None and of_shift is not None:
            rows.append(Row(f"{shift} shift, mean", of_shift(shift), "shift"))
        rows += [Row(name, of_category(name)) for name in names]
    return rows
