"""The tables of a comparison: differences to the baseline, ranks, and the smallest differences that can be found.

Input is the dictionary `results` of a `remid_jax.evaluation.comparison.Comparison`, whose docstring has its layout.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from remid_jax.information.intervals import Estimate, Interval
from remid_jax.reporting.cells import DAGGER, DASH, Cell, Column, Row, Table, cell, measure, prefix, write_value
from remid_jax.reporting.subjects import Results

FEW = "not validated for so few lineages with other replies"
TOO_WIDE = "not validated: too wide, if anything"
LOSS, BETTER = "larger = loses more under shift", "larger = better"
SENSE = {"emid": LOSS, "novel_emid": LOSS, "emi": BETTER, "novel_emi": BETTER}  # in the order of the tables
NOVEL = "novel_"
Place = tuple[str, str | None]  # kind, and the name of a category or shift


def others(results: Results) -> list[str]:
    """Returns the runs but the baseline."""
    return [run for run in results["runs"] if run != results["baseline"]]


def quantity_name(results: Results, quantity: str) -> str:
    """Returns such as "R-EMID" or "novel R-EMID"."""
    plain = quantity.removeprefix(NOVEL)
    return f"{'novel ' if plain != quantity else ''}{prefix(results['headline']['scorer'])}{plain.upper()}"


def unvalidated(quantity: str) -> str:
    """Returns what is said of intervals of a quantity that are not validated."""
    return TOO_WIDE if quantity.startswith(NOVEL) else FEW


def is_loss(quantity: str) -> bool:
    """Returns whether a larger value of a quantity is worse."""
    return SENSE[quantity] == LOSS


def family(results: Results, quantity: str) -> Mapping[str, Any]:
    """Returns {"level", "cells", "each"} of the intervals that hold together with a quantity's."""
    found: Mapping[str, Any] = results["novel_simultaneous" if quantity.startswith(NOVEL) else "simultaneous"]
    return found


def quantities(results: Results) -> list[str]:
    """Returns the quantities that there are, the first table's first: EMID where a category has a reference."""
    return [quantity for quantity in SENSE if any(headline_rows(results, quantity))]


def ranked(results: Results) -> list[str]:
    """Returns the quantities that runs are ranked by: losses where there are any."""
    found = quantities(results)
    return [quantity for quantity in found if is_loss(quantity)] or found


def headline_rows(results: Results, quantity: str) -> Iterator[Mapping[str, Any]]:
    """The differences in the headline's formula, unit and conditioning."""
    for row in results["differences"]:
        if row["quantity"] == quantity and row["simultaneous"] is not None:
            yield row


def difference_cells(
    results: Results, quantity: str, runs: Collection[str] | None = None
) -> dict[tuple[str, str, str | None], Cell]:
    """Returns {(run, kind, name): cell} of all runs or of these, the intervals those that hold together; the overall row has no
    name."""
    together, wanted = family(results, quantity) or {}, set(results["runs"] if runs is None else runs)
    return {
        (row["run"], *_place(row)): _cell(row, together) for row in headline_rows(results, quantity) if row["run"] in wanted
    }


def _place(row: Mapping[str, Any]) -> Place:
    return row["kind"], None if row["kind"] == "overall" else row["name"]


def _cell(row: Mapping[str, Any], held: Mapping[str, Any]) -> Cell:
    number: Estimate = row["difference"]
    together = row["simultaneous"]
    if number["value"] is None or number["interval"] is None or together["low"] is None:
        return cell(number)
    alone, ends = number["interval"], (together["low"], together["high"])
    interval: Interval = {**alone, "low": ends[0], "high": ends[1], "validated": together["validated"], "cautious": False}
    shown = cell({**number, "interval": interval})
    if not shown.interval:  # no reply differs
        return shown
    smallest = together["smallest_difference"]
    note = (
        f"{number['value']:.8g}; {held['level']:.0%} of all {held['cells']} cells together ({ends[0]:.8g}, {ends[1]:.8g}); "
        f"by itself ({alone['low']:.8g}, {alone['high']:.8g}); {alone['clusters']} clusters"
        + (f"; finds {smallest:.8g} with 80%" if smallest is not None else "")
    )
    return Cell(shown.text, shown.value, shown.interval, shown.validated, shown.excludes_zero, note)


def tables(results: Results) -> list[Table]:
    """Returns the differences of every quantity, then ranks and smallest differences of those that runs are ranked by."""
    by = ranked(results)
    found = [differences(results, quantity) for quantity in quantities(results)]
    return [*found, *(ranks(results, quantity) for quantity in by), *(smallest(results, quantity) for quantity in by)]


def differences(results: Results, quantity: str) -> Table:
    """Returns a row a category, shift and overall: the baseline's own value, then a column a run with its difference."""
    headline, baseline, cells = results["headline"], results["baseline"], difference_cells(results, quantity)
    name = quantity_name(results, quantity)
    columns = [Column(baseline, f"the baseline's own {name}; {SENSE[quantity]}")]
    columns += [Column(run, f"{name} of this run minus the baseline's") for run in others(results)]
    rows = _rows(results, quantity, lambda place: [_own(results, quantity, place), *_of_runs(results, cells, place)])
    title = f"{name} of {baseline}, and of the others minus it: {measure(headline['estimator'], headline['unit'])}"
    said = legend(family(results, quantity), cells.values(), unvalidated(quantity))
    return Table(title, columns, rows, notes=[f"{name}: {SENSE[quantity]}. In brackets: {said}"])


def _of_runs(results: Results, cells: Mapping[tuple[str, str, str | None], Cell], place: Place) -> list[Cell]:
    return [cells[run, *place] for run in others(results)]


def _own(results: Results, quantity: str, place: Place) -> Cell:
    value = next(row for row in headline_rows(results, quantity) if _place(row) == place)["baseline_value"]
    return Cell(DASH) if value is None else Cell(write_value(value, results["headline"]["unit"]), value, note=f"{value:.8g}")


def legend(held: Mapping[str, Any], cells: Iterable[Cell], why: str) -> str:
    """Returns what intervals are, and that some are not validated, if so, and why."""
    weak = any(cell.interval and not cell.validated for cell in cells)
    said = f"{held['level']:.0%} intervals of the difference that hold together in all {held['cells']} cells (max-|t|)"
    return said + (f"; {DAGGER} = {why}." if weak else ".")


def ranks(results: Results, quantity: str) -> Table:
    """Returns a row overall, a shift and a category, a column a run, the baseline first: the ranks that it may have."""
    sets = {_place(entry): entry["runs"] for entry in results["standings"] if entry["quantity"] == quantity}
    runs, name = list(results["runs"]), quantity_name(results, quantity)

    def cells(place: Place) -> list[Cell]:
        return [rank_cell(sets[place][run], name) for run in runs]

    best = "loses least" if is_loss(quantity) else "is best"
    level = format(results["simultaneous"]["level"], ".0%")
    note = f"1 = {best}. Each row holds every run's true rank with {level}: from the intervals of all pairs of runs."
    return Table(f"Ranks by {name}", [Column(run) for run in runs], _rows(results, quantity, cells), notes=[note])


def rank_cell(standing: Mapping[str, Any], name: str) -> Cell:
    """Returns the ranks that a run may have, with its own value beside them."""
    first, last = standing["rank"]
    return Cell(str(first) if first == last else f"{first} to {last}", float(first), note=f"{name} {_full(standing)}")


def _full(standing: Mapping[str, Any]) -> str:
    if standing["value"] is None:
        return "unknown"
    if standing["low"] is None:
        return f"{standing['value']:.8g}"
    return f"{standing['value']:.8g} ({standing['low']:.8g}, {standing['high']:.8g})"


def smallest(results: Results, quantity: str) -> Table:
    """Returns a row a category, shift and overall, a column a run: the true difference that is found with a chance of 80%."""
    found = {(row["run"], *_place(row)): row["simultaneous"]["smallest_difference"] for row in headline_rows(results, quantity)}
    unit = results["headline"]["unit"]

    def one(run: str, place: Place) -> Cell:
        value = found[run, *place]
        if value is None:
            return Cell(DASH, reason="no reply differs, or there is no interval")
        return Cell(write_value(value, unit).removeprefix("+"), value, note=f"{value:.8g}")

    rows = _rows(results, quantity, lambda place: [one(run, place) for run in others(results)])
    columns = [Column(run) for run in others(results)]
    note = "The true difference, up or down, that the interval above tells from 0 in 80% of comparisons of this size."
    return Table(f"Smallest differences of {quantity_name(results, quantity)} that are found", columns, rows, notes=[note])


def _rows(results: Results, quantity: str, cells: Callable[[Place], Sequence[Cell]]) -> list[Row]:
    """The overall row, categories without a shift, then each shift above its categories: those that have the quantity."""
    known = {_place(row) for row in headline_rows(results, quantity)}
    grouped = {name for names in results["shifts"].values() for name in names}
    wanted: list[tuple[Place, str, str]] = [(("overall", None), "all shifted categories, mean", "shift")]
    wanted += [(("category", name), name, "category") for name in results["records"] if name not in grouped]
    for shift, names in results["shifts"].items():
        wanted.append((("shift", shift), f"{shift} shift, mean", "shift"))
        wanted += [(("category", name), name, "category") for name in names]
    return [Row(label, cells(place), kind) for place, label, kind in wanted if place in known]
