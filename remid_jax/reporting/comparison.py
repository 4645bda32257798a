"""A comparison of runs as tables and as sentences, for a terminal, a page of Markdown and a notebook.

Input is the dictionary `results` of a `remid_jax.evaluation.comparison.Comparison`, whose docstring has its layout.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from remid_jax.reporting import markdown, terminal
from remid_jax.reporting.cells import DAGGER, DASH, Cell, Column, Row, Table, cell, measure, prefix, write_value
from remid_jax.reporting.subjects import Results

NAMED = 3  # records that a note names; the others are counted
UNVALIDATED = "not validated for so few lineages with other replies"
REPLY_SHOWN = 160  # characters of a reply
CHANGED = "Records whose share of Ihat of the policy's replies changed most, nats per token (to read, not to conclude from)"


def lines(results: Results) -> list[str]:
    """Returns one sentence a run: whether it generalises better or worse than the baseline, over all shifted categories."""
    r, baseline = prefix(results["headline"]["scorer"]), results["baseline"]
    said = []
    for run in _others(results):
        found = _cells(results, "emid").get((run, "overall", None))
        if not any(about["changed_lineages"][run] for about in results["records"].values()):
            said.append(f"{run} against {baseline}: no reply differs")
        elif found is None:
            said.append(f"{run}: no {r}EMID to compare, for no category has a reference")
        elif found.value is None or not found.interval:
            said.append(f"{run} against {baseline}: {r}EMID {found.text}, {found.reason or found.note}")
        else:
            verdict = "no difference shown"
            if found.excludes_zero:
                verdict = "it loses more under shift" if found.value > 0 else "it loses less under shift"
            trust = "" if found.validated else f", {UNVALIDATED}"
            said.append(
                f"{run} against {baseline}: {verdict}, {r}EMID {found.text} {found.interval} over all shifted categories{trust}"
            )
    return said


def table(results: Results, quantity: str) -> Table:
    """Returns the differences of "emid" or "emi" in the headline's estimator and unit: a row a category, shift and overall, the
    baseline's own value, then a column a run."""
    headline, baseline, cells = results["headline"], results["baseline"], _cells(results, quantity)
    name = f"{prefix(headline['scorer'])}{quantity.upper()}"
    others = _others(results)
    sense = "larger = loses more under shift" if quantity == "emid" else "larger = better"
    columns = [Column(baseline, f"the baseline's own {name}; {sense}")]
    columns += [Column(run, f"{name} of this run minus the baseline's") for run in others]

    def row(kind: str, name: str | None, label: str) -> Row:
        of_runs = [cells[run, kind, name] for run in others]
        shown = "category" if kind == "category" else "shift"
        return Row(label, [_own(results, quantity, kind, name), *of_runs], shown)

    rows = []
    if (others[0], "overall", None) in cells:
        rows.append(row("overall", None, "all shifted categories, mean"))
    grouped = {name for names in results["shifts"].values() for name in names}
    rows += [
        row("category", name, name)
        for name in results["records"]
        if name not in grouped and (others[0], "category", name) in cells
    ]
    for shift, names in results["shifts"].items():
        if (others[0], "shift", shift) in cells:
            rows.append(row("shift", shift, f"{shift} shift, mean"))
        rows += [row("category", name, name) for name in names if (others[0], "category", name) in cells]
    title = f"{name} of {baseline}, and of the others minus it: {measure(headline['estimator'], headline['unit'])}"
    return Table(title, columns, rows, notes=[f"{name}: {sense}. In brackets: {_legend(results, cells.values())}"])


def _others(results: Results) -> list[str]:
    return [run for run in results["runs"] if run != results["baseline"]]


def _legend(results: Results, cells: Iterable[Cell]) -> str:
    weak = any(cell.interval and not cell.validated for cell in cells)
    level = format(results["settings"]["level"], ".0%")
    return f"{level} intervals of the difference, each by itself" + (f"; {DAGGER} = {UNVALIDATED}." if weak else ".")


def _headline_rows(results: Results, quantity: str) -> Iterator[Mapping[str, Any]]:
    headline = results["headline"]
    for row in results["differences"]:
        of = row["difference"]
        if row["quantity"] == quantity and (of["estimator"], of["unit"], row["scorer"]) == tuple(
            headline[key] for key in ("estimator", "unit", "scorer")
        ):
            yield row


def _key(row: Mapping[str, Any]) -> tuple[str, str | None]:
    return row["kind"], None if row["kind"] == "overall" else row["name"]


def _cells(results: Results, quantity: str) -> dict[tuple[str, str, str | None], Cell]:
    """{(run, kind, name): cell}; the overall row has no name."""
    return {(row["run"], *_key(row)): cell(row["difference"]) for row in _headline_rows(results, quantity)}


def _own(results: Results, quantity: str, kind: str, name: str | None) -> Cell:
    row = next(row for row in _headline_rows(results, quantity) if _key(row) == (kind, name))
    value = row["baseline_value"]
    return Cell(DASH) if value is None else Cell(write_value(value, results["headline"]["unit"]), value)


def changed(results: Results) -> list[str]:
    """Returns the records that changed most, with both replies: what to read first."""
    said = []
    for run, records in results["changed"].items():
        for record in records:
            change = write_value(record["change"], "per_token")
            said.append(f"{run}, {record['category']}/{record['record']}: {change}")
            if record["reply"] is not None and record["baseline_reply"] is not None:
                before, now = (_shortened(record[name]) for name in ("baseline_reply", "reply"))
                said.append(f"{results['baseline']}: {before}" if before != now else f"both: {now}")
                said += [f"{run}: {now}"] if before != now else []
    return said


def _shortened(reply: str) -> str:
    """One line of a reply, in which nothing can steer a terminal."""
    line = textwrap.shorten(reply, REPLY_SHOWN, placeholder=" ...")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)


def notes(results: Results) -> list[str]:
    """Returns in what the policies differ, and what was left out."""
    baseline = results["baseline"]
    said = [
        f"{run} differs from {baseline} in {', '.join(about['differs'])}"
        for run, about in results["runs"].items()
        if about["differs"]
    ]
    for category, of_category in results["missing"].items():
        for run, records in of_category.items():
            more = f" and {len(records) - NAMED} more" if len(records) > NAMED else ""
            said.append(f"{category}: {run} lacks {', '.join(records[:NAMED])}{more}")
        if category in results["records"]:
            said[-1] += f"; {results['records'][category]['common']} records are in common"
    return said + [f"{category} is left out: {reason}" for category, reason in results["left_out"].items()]


def summary(results: Results) -> Group:
    """Returns what is shown on a terminal: a sentence a run, the tables, what was left out. Texts are never read as markup."""
    said = [Text(f"\n{line}", style="bold") for line in lines(results)]
    more = [Text(f"  {line}", style="dim") for line in notes(results)]
    read = [Text(f"  {line}") for line in changed(results)]
    heading = [Text(f"\n{CHANGED}", style="bold")] if read else []
    return Group(*said, *more, *map(terminal.drawn, tables(results)), *heading, *read)


def page(results: Results) -> str:
    """Returns the same as a page of Markdown."""
    written = [f"# {results['baseline']} and {', '.join(_others(results))}", ""]
    written += [f"- {line}." for line in (*lines(results), *notes(results))]
    for found in tables(results):
        written += ["", f"## {found.title}", "", *markdown.drawn(found)]
    if read := changed(results):
        written += ["", f"## {CHANGED}", "", *(f"- {line}" for line in read)]
    return "\n".join([*written, ""])


def tables(results: Results) -> list[Table]:
    """Returns the tables of EMID, where a category has a reference, and of EMI."""
    return [table(results, quantity) for quantity in ("emid", "emi") if any(_headline_rows(results, quantity))]
