"""The numbers of a comparison as typed values: differences of a run to the baseline, and how runs stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from remid_jax.evaluation.numbers import Number


@dataclasses.dataclass(frozen=True)
class Difference:
    """A run minus the baseline, with the jackknife interval of the difference.

    `value`, `low` and `high` are None where they do not exist; `reason` says why. `kind` is "category", "shift" or "overall",
    `quantity` is "emi" or "emid", of whole replies, "novel_emi" or "novel_emid", `conditioning` "reasoned" or "plain". EMID:
    larger = worse, so a positive difference means that the run loses more under the shift than the baseline. EMI: larger =
    better.

    In the headline's formula, unit and conditioning there are besides the ends `simultaneous_low` and `simultaneous_high` of
    intervals that hold together in all these cells of whole replies, or of their novel part, whether they are validated, and
    `smallest_difference`: the true difference that such an interval tells from 0 with a chance of 80%. Elsewhere they are None.
    """

    run: str
    kind: str
    name: str
    quantity: str
    conditioning: str
    formula: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    level: float
    clusters: int | None
    validated: bool
    n: int
    reason: str | None
    run_value: float | None
    baseline_value: float | None
    simultaneous_low: float | None
    simultaneous_high: float | None
    simultaneous_validated: bool
    smallest_difference: float | None

    @property
    def is_shown(self) -> bool:
        """Whether 0 lies outside the interval that holds together with all others."""
        low, high = self.simultaneous_low, self.simultaneous_high
        return low is not None and high is not None and (low > 0 or high < 0)


_TYPES = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
COLUMNS = pa.schema([(field.name, _TYPES[str(field.type).split(" ")[0]]) for field in dataclasses.fields(Difference)])


def difference_of(row: Mapping[str, Any], level: float) -> Difference:
    """Reads a difference of a comparison's results."""
    estimate = Number.of(row["difference"])
    together = row["simultaneous"] or {}
    return Difference(
        run=row["run"],
        kind=row["kind"],
        name=row["name"],
        quantity=row["quantity"],
        conditioning=row["scorer"],
        formula=estimate.estimator,
        unit=estimate.unit,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=level,
        clusters=estimate.clusters,
        validated=estimate.validated,
        n=estimate.n,
        reason=estimate.reason,
        run_value=row["run_value"],
        baseline_value=row["baseline_value"],
        simultaneous_low=together.get("low"),
        simultaneous_high=together.get("high"),
        simultaneous_validated=together.get("validated", False),
        smallest_difference=together.get("smallest_difference"),
    )


@dataclasses.dataclass(frozen=True)
class RunStanding:
    """A run's own value at one place, and its rank set: its rank, 1 for the best, lies in best_rank .. worst_rank.

    `low` and `high` are the ends of intervals of all runs' values at this place that hold together; None where there are none.
    Of over 32 runs these and the ranks are None but over all shifted categories.
    EMID: the best run has the smallest, EMI: the largest.
    """

    run: str
    kind: str
    name: str
    quantity: str
    value: float | None
    error: float | None
    low: float | None
    high: float | None
    best_rank: int | None
    worst_rank: int | None


def standings_of(entry: Mapping[str, Any]) -> list[RunStanding]:
    """Reads the standings of one place of a comparison's results."""
    return [
        RunStanding(
            run, entry["kind"], entry["name"], entry["quantity"], found["value"], found["error"], found["low"], found["high"],
            *(found["rank"] or (None, None)),
        )
        for run, found in entry["runs"].items()
    ]  # fmt: skip
