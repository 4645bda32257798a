"""A comparison of runs as sentences, for a terminal, a page of Markdown and a notebook.

Input is the dictionary `results` of a `remid_jax.evaluation.comparison.Comparison`, whose docstring has its layout.
"""

from __future__ import annotations

import textwrap

from rich.console import Group
from rich.text import Text

from remid_jax.reporting import comparison_tables, markdown, terminal
from remid_jax.reporting.cells import Table, write_value
from remid_jax.reporting.comparison_ranking import is_large, ranking
from remid_jax.reporting.comparison_tables import (
    difference_cells,
    headline_rows,
    is_loss,
    others,
    quantity_name,
    ranked,
    unvalidated,
)
from remid_jax.reporting.subjects import Results

NAMED = 3  # records that a note names; the others are counted
REPLY_SHOWN = 160  # characters of a reply
ROWS = 20  # of hundreds of runs
NOTES = 20  # on hundreds of runs
CHANGED = "Records whose share of Ihat of the policy's replies changed most, nats per token (to read, not to conclude from)"


def lines(results: Results) -> list[str]:
    """Returns whether each run generalises better or worse than the baseline, over all shifted categories.

    One sentence says it of whole replies and, where there is one, another of their novel part; of hundreds of runs they are
    counted. Then, where two runs or more differ from one another, which is best, if any can be named.
    """
    by = [quantity for quantity in ranked(results) if is_loss(quantity)] or ["emid"]
    if is_large(results):
        return [line for quantity in by for line in (_counted(results, quantity), *_best(results, quantity))]
    said = []
    for run in others(results):
        if not any(about["changed_lineages"][run] for about in results["records"].values()):
            said.append(f"{run} against {results['baseline']}: no reply differs")
        else:
            said += [_line(results, run, quantity) for quantity in by]
    return said + [line for quantity in by for line in _best(results, quantity)]


def _line(results: Results, run: str, quantity: str) -> str:
    name, baseline = quantity_name(results, quantity), results["baseline"]
    found = difference_cells(results, quantity).get((run, "overall", None))
    if found is None:
        return f"{run}: no {name} to compare, for no category has a reference"
    if found.value is None or not found.interval:
        return f"{run} against {baseline}: {name} {found.text}, {found.reason or found.note}"
    verdict = "no difference shown"
    if found.excludes_zero:
        verdict = "it loses more under shift" if found.value > 0 else "it loses less under shift"
    trust = "" if found.validated else f", {unvalidated(quantity)}"
    finding = ""
    row = next(row for row in headline_rows(results, quantity) if (row["run"], row["kind"]) == (run, "overall"))
    if (smallest := row["simultaneous"]["smallest_difference"]) is not None:
        size = write_value(smallest, results["headline"]["unit"]).removeprefix("+")
        finding = f"; a difference of {size} is found in 80% of such comparisons"
    return (
        f"{run} against {baseline}: {verdict}, {name} {found.text} {found.interval} over all shifted categories{trust}{finding}"
    )


def _counted(results: Results, quantity: str) -> str:
    """How many runs lose more and less than the baseline."""
    found = [row for row in headline_rows(results, quantity) if row["kind"] == "overall"]
    name, count = quantity_name(results, quantity), len(others(results))
    if not found:
        return f"no {name} to compare, for no category has a reference"
    ends = [row["simultaneous"] for row in found if row["simultaneous"]["low"] is not None]
    more, less = sum(held["low"] > 0 for held in ends), sum(held["high"] < 0 for held in ends)
    trust = "" if all(held["validated"] for held in ends) else f", some {unvalidated(quantity)}"
    return (
        f"{count:,} runs against {results['baseline']}, {name} over all shifted categories: {less:,} lose less under shift, "
        f"{more:,} lose more, of {count - less - more:,} no difference is shown{trust}"
    )


def _best(results: Results, quantity: str) -> list[str]:
    """Which run loses least, named only if its rank set is {1}."""
    entries = [entry for entry in results["standings"] if (entry["kind"], entry["quantity"]) == ("overall", quantity)]
    if not entries:
        return []
    runs, name = len(results["runs"]), quantity_name(results, quantity)
    if (best := results["best"][quantity]) is not None:
        return [f"best by {name}: {best} loses least over all shifted categories, of {runs} runs (ranks of this row alone)"]
    may = [run for run, standing in entries[0]["runs"].items() if standing["rank"][0] == 1]
    shown, more = (may[:NAMED], len(may) - NAMED) if is_large(results) else (may, 0)
    named = f"{', '.join(shown)}{f' and {more:,} more' if more > 0 else ''}"
    return [f"best by {name}: no run can be named; {len(may)} of {runs} may lose least ({named})"]


def changed(results: Results) -> list[str]:
    """Returns the records that changed most, with both replies: what to read first; of hundreds of runs those of the best."""
    said = []
    listed = list(results["changed"].items())
    for run, records in listed[:NAMED] if is_large(results) else listed:
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
    said += [f"{category} is left out: {reason}" for category, reason in results["left_out"].items()]
    if is_large(results) and len(said) > NOTES:
        said = [
            *(textwrap.shorten(line, REPLY_SHOWN, placeholder=" ...") for line in said[:NOTES]),
            f"and {len(said) - NOTES:,} notes more, in --output",
        ]
    return said


def summary(results: Results) -> Group:
    """Returns what is shown on a terminal: a sentence a run, the tables, what was left out. Texts are never read as markup."""
    said = [Text(f"\n{line}", style="bold") for line in lines(results)]
    more = [Text(f"  {line}", style="dim") for line in notes(results)]
    read = [Text(f"  {line}") for line in changed(results)]
    heading = [Text(f"\n{CHANGED}", style="bold")] if read else []
    return Group(*said, *more, *map(terminal.drawn, tables(results)), *heading, *read)


def title(results: Results) -> str:
    """Returns the names of the runs; of hundreds, how many they are."""
    named = others(results)
    return f"{results['baseline']} and {f'{len(named):,} other runs' if is_large(results) else ', '.join(named)}"


def tables(results: Results) -> list[Table]:
    """Returns the tables that are shown."""
    if is_large(results):
        return [ranking(results, quantity, ("shift",), ROWS) for quantity in ranked(results)]
    return comparison_tables.tables(results)


def page(results: Results) -> str:
    """Returns the same as a page of Markdown."""
    written = [f"# {title(results)}", ""]
    written += [f"- {line}." for line in (*lines(results), *notes(results))]
    for table in tables(results):
        written += ["", f"## {table.title}", "", *markdown.drawn(table)]
    if read := changed(results):
        written += ["", f"## {CHANGED}", "", *(f"- {line}" for line in read)]
    return "\n".join([*written, ""])
