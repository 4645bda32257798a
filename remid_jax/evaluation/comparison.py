"""Runs against a baseline: what another policy, or checkpoint, changes on the same records (docs/protocol.md, rule 27)."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from remid_jax.evaluation.compared_numbers import COLUMNS, Difference, RunStanding, difference_of, standings_of
from remid_jax.evaluation.compared_runs import ComparedRun, Source, policy_differences
from remid_jax.evaluation.measured_alike import measure_alike, same_within
from remid_jax.evaluation.results import CONTRIBUTIONS, contributions
from remid_jax.files import write_text
from remid_jax.information import estimates as information
from remid_jax.information.common_records import Common, changed_lineages
from remid_jax.information.differences import EMI, EMID, Layout, Place, Quantities, differences
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import number
from remid_jax.information.score_arrays import flatten
from remid_jax.information.score_table import ScoreTable
from remid_jax.information.standings import Family, Together, best_run, family, headline_places, is_overall, standings
from remid_jax.parallel import Devices
from remid_jax.reporting import comparison as shown
from remid_jax.reporting import comparison_page
from remid_jax.reporting.comparison_tables import tables as shown_tables
from remid_jax.reporting.lm_eval import lm_eval
from remid_jax.reporting.page import table_html
from remid_jax.reporting.subjects import Results

SCHEMA_VERSION = 1
CHANGED = 5  # records listed for each run


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs against a baseline.

    Attributes:
      results: everything, JSON-ready:
        {"schema_version", "kind": "comparison", "baseline": its name, "n": contexts a block,
         "runs": {name: {"policy", "differs": [in what its policy is another than the baseline's]}},
         "records": {category: {"common": records,
                                "changed_lineages": {run: lineages with another reply than the baseline's}}},
         "missing": {category: {run: [records that another run holds and this one does not]}},
         "left_out": {category: why}, "shifts": {shift: its categories}, "settings",
         "headline": {"estimator", "unit", "scorer"},
         "differences": [{"run", "kind", "name", "quantity", "scorer", "difference": a number of `intervals.number`,
                          "run_value", "baseline_value",
                          "simultaneous": None, or in the headline `information.standings.Together`}],
         "simultaneous": {"level", "cells": intervals that hold together, "each": the level of one by itself}, of whole replies,
         "novel_simultaneous": the same of their novel part; None where replies are not parted by source,
         "standings": [{"kind", "name", "quantity", "runs": {run: `information.standings.Standing`}}],
         "best": {quantity: the run whose rank set over all shifted categories is {1}, or None},
         "contributions": what per-record contributions are good for,
         "changed": {run: [{"category", "record", "change", "run_value", "baseline_value", "reply", "baseline_reply"}]}}.
        "changed" lists the records whose contribution to Ihat of the policy's replies changed most, in nats per token
        (`results.contributions`): what to read first. They carry no interval, and say nothing about what is real.
    """

    results: Results = dataclasses.field(repr=False)

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the runs, the baseline first."""
        return tuple(self.results["runs"])

    @functools.cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Every difference: by run, category, shift and overall, quantity, conditioning, formula and unit."""
        return tuple(difference_of(row, self.results["settings"]["level"]) for row in self.results["differences"])

    @property
    def headline(self) -> tuple[Difference, ...]:
        """The differences in the headline's formula, unit and conditioning."""
        wanted = tuple(self.results["headline"][name] for name in ("estimator", "unit", "scorer"))
        return tuple(row for row in self.differences if (row.formula, row.unit, row.conditioning) == wanted)

    @functools.cached_property
    def standings(self) -> tuple[RunStanding, ...]:
        """How runs stand in the headline's formula, unit and conditioning: at every place their values and rank sets."""
        return tuple(found for entry in self.results["standings"] for found in standings_of(entry))

    @property
    def best(self) -> str | None:
        """The run whose whole replies lose least over all shifted categories, if its rank set is {1}; else None."""
        return self.results["best"].get("emid")

    def table(self) -> pa.Table:
        """Returns the differences as a table; its columns are the fields of `Difference`."""
        return pa.Table.from_pylist([dataclasses.asdict(row) for row in self.differences], schema=COLUMNS)

    def save(self, path: str | Path) -> None:
        """Writes `results` as JSON.

        Raises:
          UserError: the folder does not exist, or cannot be written to.
        """
        write_text(path, json.dumps(self.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def report(self, path: str | Path) -> None:
        """Writes the comparison as one HTML file that needs nothing beside it.

        Raises:
          UserError: the file cannot be written.
        """
        write_text(path, comparison_page.html(self.results))

    def lm_eval(self) -> dict[str, Any]:
        """Returns the headline in the layout of lm-evaluation-harness's results (see `reporting.lm_eval`)."""
        return lm_eval(self.results)

    def __str__(self) -> str:
        return "\n".join(shown.lines(self.results))

    def _repr_html_(self) -> str:
        """The sentences and the first table, for notebooks."""
        return table_html(shown_tables(self.results)[0], "; ".join(shown.lines(self.results)))


def compare(runs: Sequence[Source] | Mapping[str, Source], *, devices: Devices | None = None) -> Comparison:
    """Returns the differences of runs to the first of them, the baseline, paired by record.

    A run is a folder that an evaluation wrote, or an evaluation in memory, by its name in a mapping if that is wanted; a folder
    that is no run, such as a sweep's, stands for all runs below it. All runs are estimated anew on the records that all of them
    hold, in the same contexts, subsamples and folds, with the baseline's settings; what a run lacks is left out of every run,
    counted and named. A run may be compared with itself.

    Raises:
      UserError: fewer than two runs; a file that is missing, broken or of another version; runs of another benchmark,
        estimator, horizon, protocol or statistics, with both values; golden replies that were scored differently; no
        category in common.
    """
    read, common, layout, settings, plan, measured = measure_alike(runs, devices or Devices(local=True))
    baseline, tables, within = read[0], common.tables, same_within(read[0])
    changed = {run.name: changed_lineages(tables[run.name], tables[baseline.name], within) for run in read[1:]}
    results = _results(read, common, layout, settings, changed)
    places = headline_places(measured[baseline.name], **results["headline"])
    found = {run.name: differences(measured[run.name], measured[baseline.name], changed[run.name], layout) for run in read[1:]}
    whole = [place for place in places if place.quantity in (EMI, EMID)]
    novel = [place for place in places if place not in whole]
    together, novel_together = (family(found, of_family, settings.level) for of_family in (whole, novel))
    cells = together.cells | novel_together.cells
    rows = [
        row
        for run, of_run in found.items()
        for row in _rows(run, of_run, (measured[run], measured[baseline.name]), cells, plan.n, settings.level)
    ]
    ranked = {place: standings(measured, place, settings.level) for place in places}
    return Comparison({
        **results,
        "n": plan.n,
        "differences": rows,
        "simultaneous": _family(together, settings.level),
        "novel_simultaneous": _family(novel_together, settings.level) if novel else None,
        "standings": [
            {"kind": place.kind, "name": place.name, "quantity": place.quantity, "runs": of_place}
            for place, of_place in ranked.items()
        ],
        "best": {place.quantity: best_run(of_place) for place, of_place in ranked.items() if is_overall(place)},
    })  # fmt: skip


def _family(together: Family, level: float) -> dict[str, Any]:
    return {"level": level, "cells": together.size, "each": together.each}


def _results(
    read: Sequence[ComparedRun],
    common: Common,
    layout: Layout,
    settings: Settings,
    changed: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    baseline, *others = read
    table, within = common.tables[baseline.name], same_within(baseline)
    scorer = baseline.results["estimates"]["headline"]["scorer"]
    estimator, unit = settings.headline.split()
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "baseline": baseline.name,
        "runs": {run.name: {"policy": run.results["policy"], "differs": policy_differences(run, baseline)} for run in read},
        "records": {
            name: {
                "common": len(category.record),
                "changed_lineages": {run: of_run[name] for run, of_run in changed.items()},
            }
            for name, category in table.categories.items()
        },
        "missing": common.missing,
        "left_out": common.left_out,
        "shifts": layout.shifts,
        "settings": dataclasses.asdict(settings),
        "headline": {"estimator": estimator, "unit": unit, "scorer": scorer},
        "contributions": CONTRIBUTIONS,
        "changed": {run.name: _changed(run, baseline, common.tables, scorer, within) for run in others},
    }


def _rows(
    run: str,
    found: Quantities,
    sides: tuple[Quantities, Quantities],
    together: Mapping[tuple[str, Place], Together],
    n: int,
    level: float,
) -> Iterator[dict[str, Any]]:
    """The differences of a run, JSON-ready, with the values of the run and of the baseline, `sides`."""
    for place, difference in found.items():
        run_value, baseline_value = (float(quantities[place].values[0]) for quantities in sides)
        reason = information.NO_CRITIC if place.estimator == "mixture" else ""
        yield {
            "run": run,
            "kind": place.kind,
            "name": place.name,
            "quantity": place.quantity,
            "scorer": place.scorer,
            "difference": number(difference, unit=place.unit, estimator=place.estimator, n=n, level=level, reason=reason),
            "run_value": run_value if math.isfinite(run_value) else None,
            "baseline_value": baseline_value if math.isfinite(baseline_value) else None,
            "simultaneous": together.get((run, place)),
        }


def _changed(
    run: ComparedRun, baseline: ComparedRun, tables: Mapping[str, ScoreTable], scorer: str, within: float
) -> list[dict[str, Any]]:
    """The records whose contributions changed most and by more than `within`, the largest change first."""
    column = f"policy_club_{scorer}"
    rows = []
    mine, others = flatten(tables[run.name]), flatten(tables[baseline.name])
    for category in tables[baseline.name].categories:
        pairs = zip(contributions(mine, category, [scorer]), contributions(others, category, [scorer]), strict=True)
        for now, before in pairs:
            record = (category, now["record"])
            rows.append({
                "category": category,
                "record": now["record"],
                "change": now[column] - before[column],
                "run_value": now[column],
                "baseline_value": before[column],
                "reply": run.replies.get(record),
                "baseline_reply": baseline.replies.get(record),
            })  # fmt: skip
    ranked = sorted((row for row in rows if abs(row["change"]) > within), key=lambda row: -abs(row["change"]))
    return ranked[:CHANGED]
