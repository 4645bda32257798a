"""Runs measured anew on the records that all of them hold, by one plan: what comparisons and contrasts are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax

from remid_jax.errors import UserError
from remid_jax.evaluation.compared_runs import ComparedRun, Source, check_comparable, read_runs
from remid_jax.information import estimates as information
from remid_jax.information.common_records import Common, golden_gap, on_common_records
from remid_jax.information.differences import Layout, Quantities, quantities
from remid_jax.information.estimates import Settings
from remid_jax.information.measurement import Plan
from remid_jax.information.score_table import ScoreTable
from remid_jax.parallel import Devices

SAME_WITHIN = {"float32": 1e-4, "bfloat16": 0.1}  # nats a token that other rows of a batch move a log-likelihood, at most


class MeasuredAlike(NamedTuple):
    """Runs, the first of them the baseline, and by run the EMI and EMID of every place (`information.differences`)."""

    read: list[ComparedRun]
    common: Common
    layout: Layout
    settings: Settings
    plan: Plan
    quantities: dict[str, Quantities]


def measure_alike(runs: Sequence[Source] | Mapping[str, Source], devices: Devices) -> MeasuredAlike:
    """Measures runs on their common records with the settings of the first.

    Raises:
      UserError: as `remid_jax.compare`.
    """
    read = read_runs(runs)
    check_comparable(read)
    common = on_common_records({run.name: run.scores for run in read})
    baseline = read[0]
    tables = common.tables
    if not tables[baseline.name].categories:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in common.left_out.items())
        raise UserError(f"{', '.join(tables)}: no category in common ({reasons}): evaluate both on the same records")
    _check_golden(tables, same_within(baseline))
    settings, first = Settings(**baseline.results["estimates"]["settings"]), tables[baseline.name]
    layout = Layout({name: first.references.get(name) for name in first.categories}, first.shifts)
    with jax.enable_x64(True):
        plan = information.plan_of(first, dataclasses.replace(settings, bootstrap=0), devices)
        measured = quantities(tables, layout, plan)
    return MeasuredAlike(read, common, layout, settings, plan, measured)


def same_within(baseline: ComparedRun) -> float:
    """Returns how far log-likelihoods of one reply may be apart, nats a token, in the dtype of the estimator."""
    return SAME_WITHIN[baseline.results["estimator"]["dtype"]]


def _check_golden(tables: Mapping[str, ScoreTable], within: float) -> None:
    baseline, *others = tables
    for run in others:
        gap = golden_gap(tables[run], tables[baseline])
        if gap.nats_per_token > within:
            raise UserError(
                f"{run}: golden replies were scored differently than in {baseline}: {gap.category}/{gap.record} by "
                f"{gap.nats_per_token:.2g} nats a token: evaluate both with one store, or on one kind of device"
            )
