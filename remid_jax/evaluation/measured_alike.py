"""Runs measured anew on the records that all of them hold, by one plan: what comparisons and contrasts are made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from remid_jax.errors import UserError
from remid_jax.evaluation.compared_runs import check_comparable
from remid_jax.evaluation.opened_runs import ComparedRun, Source, read_runs
from remid_jax.information import estimates as information
from remid_jax.information.common_records import Common, changed_lineages, golden_gap, in_common
from remid_jax.information.differences import Headline, Layout, Measuring, Quantities, joined
from remid_jax.information.estimates import Settings
from remid_jax.information.measurement import Plan
from remid_jax.information.score_table import ScoreTable
from remid_jax.information.simultaneous import PAIRED
from remid_jax.parallel import Devices

SAME_WITHIN = {"float32": 1e-4, "bfloat16": 0.1}  # nats a token that other rows of a batch move a log-likelihood, at most
AT_ONCE = 32  # runs whose scores are in memory together


@dataclasses.dataclass(frozen=True)
class MeasuredAlike:
    """Runs, the first of them the baseline, and the EMI and EMID of every place (`information.differences`).

    `table` is the baseline's on the common records; `changed` counts {category: lineages with another reply than its [runs]} of
    every run but the baseline. `every_formula` is false of over `PAIRED` runs: these are measured in the headline alone.
    """

    read: list[ComparedRun]
    common: Common
    table: ScoreTable
    layout: Layout
    settings: Settings
    plan: Plan
    headline: Headline
    every_formula: bool
    quantities: Quantities
    changed: dict[str, np.ndarray]

    @functools.cached_property
    def texts(self) -> Mapping[tuple[str, str], str]:
        """The replies of the baseline's policy, by category and record."""
        return self.read[0].replies()

    def scores(self, run: ComparedRun) -> ScoreTable:
        """Reads a run's scores on the common records."""
        return self.common.table(run.table(self.read[0]), self.table)


def measure_alike(runs: Sequence[Source] | Mapping[str, Source], devices: Devices) -> MeasuredAlike:
    """Measures runs on their common records with the settings of the first.

    Scores are read of a few runs at a time, so memory does not grow with them.

    Raises:
      UserError: as `remid_jax.compare`.
    """
    read = read_runs(runs)
    check_comparable(read)
    baseline, common = read[0], in_common({run.name: run.outlines for run in read})
    if not common.records:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in common.left_out.items())
        names = ", ".join(run.name for run in read)
        raise UserError(f"{names}: no category in common ({reasons}): evaluate both on the same records")
    whole = baseline.table(baseline)
    table, within = common.table(whole, whole), same_within(baseline)
    settings, scorer = (
        Settings(**baseline.results["estimates"]["settings"]),
        baseline.results["estimates"]["headline"]["scorer"],
    )
    headline, every_formula = Headline(scorer, *settings.headline.split()), len(read) <= PAIRED
    layout = Layout({name: table.references.get(name) for name in table.categories}, table.shifts)
    parts, changed = list[Quantities](), list[dict[str, int]]()
    with jax.enable_x64(True):
        plan = information.plan_of(table, dataclasses.replace(settings, bootstrap=0), devices)
        measuring = Measuring(table, layout, plan, has_sources=common.has_sources, headline=None if every_formula else headline)
        for first in range(0, len(read), AT_ONCE):
            here = {
                run.name: table if run is baseline else common.table(run.table(baseline), table)
                for run in read[first : first + AT_ONCE]
            }
            for name, of_run in here.items():
                _check_golden(name, of_run, baseline.name, table, within)
                changed.append(changed_lineages(of_run, table, within))
            parts.append(measuring.quantities(list(here.values())))
    counts = {name: np.array([of_run[name] for of_run in changed[1:]]) for name in table.categories}
    return MeasuredAlike(read, common, table, layout, settings, plan, headline, every_formula, joined(parts), counts)


def same_within(baseline: ComparedRun) -> float:
    """Returns how far log-likelihoods of one reply may be apart, nats a token, in the dtype of the estimator."""
    return SAME_WITHIN[baseline.results["estimator"]["dtype"]]


def _check_golden(run: str, table: ScoreTable, baseline: str, golden: ScoreTable, within: float) -> None:
    gap = golden_gap(table, golden)
    if gap.nats_per_token > within:
        raise UserError(
            f"{run}: golden replies were scored differently than in {baseline}: {gap.category}/{gap.record} by "
            f"{gap.nats_per_token:.2g} nats a token: evaluate both with one store, or on one kind of device"
        )
