"""Hundreds of runs in one table of a comparison: a row a run, the best first.

Input is the dictionary `results` of a `remid_jax.evaluation.comparison.Comparison`, whose docstring has its layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remid_jax.reporting.cells import DASH, Cell, Column, Row, Table, measure, write_value
from remid_jax.reporting.comparison_tables import (
    SENSE,
    Place,
    difference_cells,
    family,
    is_loss,
    legend,
    others,
    quantity_name,
    rank_cell,
    unvalidated,
)
from remid_jax.reporting.subjects import Results

OVERALL: Place = ("overall", None)


def is_large(results: Results) -> bool:
    """Returns whether runs are too many to be named one by one."""
    return not results["every_formula"]


def ranking(results: Results, quantity: str, kinds: Sequence[str], shown: int | None = None) -> Table:
    """Returns a row a run, the best first: its value and rank over all shifted categories, and its differences to the baseline.

    Differences are over all shifted categories, and by what else is in `kinds`, "shift" and "category". Of more rows than are
    `shown` the rest is counted.
    """
    runs, baseline, name = _best_first(results, quantity), results["baseline"], quantity_name(results, quantity)
    standings = {
        (entry["kind"], entry["name"]): entry["runs"] for entry in results["standings"] if entry["quantity"] == quantity
    }
    overall: Mapping[str, Any] = next((of_place for (kind, _), of_place in standings.items() if kind == "overall"), {})
    places = [OVERALL] if overall else []
    places += [place for kind in kinds for place in standings if place[0] == kind]
    cells = difference_cells(results, quantity, runs[:shown])
    columns = [Column(name, f"over all shifted categories; {SENSE[quantity]}"), Column("rank")] if overall else []
    columns += [
        Column(f"{'' if place == OVERALL else f'{_called(place)}, '}minus {baseline}", interval=place == OVERALL)
        for place in places
    ]

    def row(run: str) -> Row:
        own = [_own(results, overall[run]), rank_cell(overall[run], name)] if overall else []
        return Row(run, [*own, *(cells.get((run, *place), Cell(DASH)) for place in places)])

    notes = [
        f"{name}: {SENSE[quantity]}. In brackets: {legend(family(results, quantity), cells.values(), unvalidated(quantity))}"
    ]
    if (more := len(runs) - len(runs[:shown])) > 0:
        notes.append(f"and {more:,} runs more, in all files that can be written (--html, --table, --output)")
    title = f"{name} of {len(runs):,} runs, {'the best first' if overall else 'in their order'}"
    measured = measure(results["headline"]["estimator"], results["headline"]["unit"])
    return Table(f"{title}: {measured}", columns, [row(run) for run in runs[:shown]], "run", notes)


def _best_first(results: Results, quantity: str) -> list[str]:
    """All runs, those without a value last."""
    overall = next(
        (entry["runs"] for entry in results["standings"] if (entry["kind"], entry["quantity"]) == ("overall", quantity)), None
    )
    if overall is None:
        return [results["baseline"], *others(results)]
    sign = 1 if is_loss(quantity) else -1
    known = {run: sign * of["value"] for run, of in overall.items() if of["value"] is not None}
    return [*sorted(known, key=known.__getitem__), *(run for run in overall if run not in known)]


def _called(place: Place) -> str:
    return f"{place[1]} shift" if place[0] == "shift" else str(place[1])


def _own(results: Results, standing: Mapping[str, Any]) -> Cell:
    value = standing["value"]
    return Cell(DASH) if value is None else Cell(write_value(value, results["headline"]["unit"]), value, note=f"{value:.8g}")
