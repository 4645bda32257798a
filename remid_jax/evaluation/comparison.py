"""Runs against a baseline: what another policy, or checkpoint, changes on the same records (docs/protocol.md, rule 27)."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from remid_jax.evaluation.compared_numbers import COLUMNS, Difference, RunStanding, difference_of, standings_of
from remid_jax.evaluation.compared_runs import policy_differences
from remid_jax.evaluation.measured_alike import MeasuredAlike, measure_alike, same_within
from remid_jax.evaluation.opened_runs import ComparedRun, Source
from remid_jax.evaluation.results import CONTRIBUTIONS, contributions
from remid_jax.files import write_text
from remid_jax.information import estimates as information
from remid_jax.information.differences import EMI, EMID, Changed, Place, differences, is_loss
from remid_jax.information.intervals import numbers
from remid_jax.information.score_arrays import flatten
from remid_jax.information.simultaneous import PAIRED
from remid_jax.information.standings import (
    Family,
    Standing,
    Together,
    best_run,
    family,
    headline_places,
    is_overall,
    standings,
)
from remid_jax.parallel import Devices
from remid_jax.reporting import comparison as shown
from remid_jax.reporting import comparison_page
from remid_jax.reporting.lm_eval import lm_eval
from remid_jax.reporting.page import table_html
from remid_jax.reporting.subjects import Results

SCHEMA_VERSION = 1
CHANGED = 5  # records listed for each run
LISTED = 20  # of over `PAIRED` runs, those that are named one by one


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
         "every_formula": false of over `PAIRED` runs, which are compared in the headline alone,
         "listed": [the runs that sentences name and "changed" has, all but the baseline; of over `PAIRED` the best],
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
        write_text(path, self.text)

    @property
    def text(self) -> str:
        """`results` as JSON; of over `PAIRED` runs on one line, as nobody reads that."""
        indent = 1 if self.results["every_formula"] else None
        return json.dumps(self.results, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"

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
        return table_html(shown.tables(self.results)[0], "; ".join(shown.lines(self.results)))


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
    alike = measure_alike(runs, devices or Devices(local=True))
    level, names = alike.settings.level, [run.name for run in alike.read]
    found = differences(alike.quantities, alike.changed, alike.layout)
    places = headline_places(found, alike.headline)
    whole = [place for place in places if place.quantity in (EMI, EMID)]
    novel = [place for place in places if place not in whole]
    together, novel_together = (family(found, of_family, level) for of_family in (whole, novel))
    ranked = {place: dict(zip(names, standings(alike.quantities[place], place, level), strict=True)) for place in places}
    listed, by_name = _listed(ranked, names), {run.name: run for run in alike.read}
    return Comparison({
        **_records(alike),
        "settings": dataclasses.asdict(alike.settings),
        "headline": alike.headline._asdict(),
        "every_formula": alike.every_formula,
        "listed": listed,
        "contributions": CONTRIBUTIONS,
        "changed": {name: _changed(by_name[name], alike) for name in listed},
        "n": alike.plan.n,
        "differences": _rows(alike, found, together.cells | novel_together.cells),
        "simultaneous": _family(together, level),
        "novel_simultaneous": _family(novel_together, level) if novel else None,
        "standings": [
            {"kind": place.kind, "name": place.name, "quantity": place.quantity, "runs": of_place}
            for place, of_place in ranked.items()
        ],
        "best": {place.quantity: best_run(of_place) for place, of_place in ranked.items() if is_overall(place)},
    })  # fmt: skip


def _family(together: Family, level: float) -> dict[str, Any]:
    return {"level": level, "cells": together.size, "each": together.each}


def _listed(ranked: Mapping[Place, Mapping[str, Standing]], names: Sequence[str]) -> list[str]:
    """The runs but the baseline; of over `PAIRED` those that lose least, the best first."""
    if len(names) <= PAIRED:
        return list(names[1:])
    losses = next((of_place for place, of_place in ranked.items() if is_overall(place) and is_loss(place.quantity)), {})
    values = {run: losses[run]["value"] for run in names[1:] if run in losses}
    known = {run: value for run, value in values.items() if value is not None}
    return sorted(known, key=known.__getitem__)[:LISTED] or list(names[1 : 1 + LISTED])


def _records(alike: MeasuredAlike) -> dict[str, Any]:
    """Runs, and which records and categories are compared."""
    baseline, *others = alike.read
    changed = {name: dict(zip((run.name for run in others), of.tolist(), strict=True)) for name, of in alike.changed.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "baseline": baseline.name,
        "runs": {
            run.name: {"policy": run.results["policy"], "differs": policy_differences(run, baseline)} for run in alike.read
        },
        "records": {
            name: {"common": len(category.record), "changed_lineages": changed[name]}
            for name, category in alike.table.categories.items()
        },
        "missing": alike.common.missing,
        "left_out": alike.common.left_out,
        "shifts": alike.layout.shifts,
    }


def _rows(
    alike: MeasuredAlike, found: Mapping[Place, Changed], together: Mapping[Place, Sequence[Together]]
) -> list[dict[str, Any]]:
    """The differences of all runs, JSON-ready, run by run."""
    of_places = []
    for place, of in found.items():
        reason = information.NO_CRITIC if place.estimator == "mixture" else ""
        estimates = numbers(
            of.by, of.fewest.tolist(), unit=place.unit, estimator=place.estimator, n=alike.plan.n,
            level=alike.settings.level, reason=reason,
        )  # fmt: skip
        own = [value if math.isfinite(value) else None for value in alike.quantities[place].values[:, 0].tolist()]
        about = {"kind": place.kind, "name": place.name, "quantity": place.quantity, "scorer": place.scorer}
        of_places.append((about, estimates, own, together.get(place)))
    return [
        {
            "run": run.name,
            **about,
            "difference": estimates[number],
            "run_value": own[1 + number],
            "baseline_value": own[0],
            "simultaneous": None if held is None else held[number],
        }
        for number, run in enumerate(alike.read[1:])
        for about, estimates, own, held in of_places
    ]


def _changed(run: ComparedRun, alike: MeasuredAlike) -> list[dict[str, Any]]:
    """The records whose contributions changed most and by more than rounding does, the largest change first."""
    baseline, scorer = alike.read[0], alike.headline.scorer
    column, within = f"policy_club_{scorer}", same_within(baseline)
    rows = []
    mine, others = flatten(alike.scores(run)), flatten(alike.table)
    for category in alike.table.categories:
        pairs = zip(contributions(mine, category, [scorer]), contributions(others, category, [scorer]), strict=True)
        for now, before in pairs:
            rows.append({
                "category": category,
                "record": now["record"],
                "change": now[column] - before[column],
                "run_value": now[column],
                "baseline_value": before[column],
            })  # fmt: skip
    ranked = sorted((row for row in rows if abs(row["change"]) > within), key=lambda row: -abs(row["change"]))[:CHANGED]
    texts, of_baseline = (run.replies(), alike.texts) if ranked else ({}, {})
    for row in ranked:
        record = (row["category"], row["record"])
        row |= {"reply": texts.get(record), "baseline_reply": of_baseline.get(record)}
    return ranked
