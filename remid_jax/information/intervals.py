"""Intervals over lineages that categories share (docs/protocol.md, rules 9 and 10).

Every quantity travels as its `Replicates`: the estimate, then its value without each lineage of the table, then under each
bootstrap draw. A lineage is deleted, or drawn k times, in all categories at once, so differences, means over categories and
ratios are plain arithmetic on replicates, and the covariance that a shared IDTest or a shared lineage makes is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from scipy.special import stdtrit

BOOTSTRAP_FROM = 32  # lineages; below, the percentile bootstrap covers 82-86% instead of 95%
POWER = 0.8
NEVER = 10**9  # lineages: no number of them makes this interval a validated one
VALIDATED_FROM = {  # lineages; estimators of information as `python -m experiments.validate` finds them
    "mean": 16, "club": 16, "prompt_marginal": 32, "mixture": 64, "mixture_raw": 16, "leave_one_out": 32,
    "identified": 16, "misplaced": NEVER,
    "representation": 32, "classifier": 32, "layered": NEVER, "bound": NEVER, "risk": NEVER, "correlation": NEVER,
}  # fmt: skip


class Interval(TypedDict):
    """An interval, JSON-ready; `low` and `high` are None, with a `reason`, where there is none."""

    low: float | None
    high: float | None
    level: float
    method: str
    clusters: int
    validated: bool
    bootstrap: NotRequired[Interval | None]
    draws: NotRequired[int]
    reason: NotRequired[str]


class Estimate(TypedDict):
    """A number of results.json; `value` and `interval` are None, with a `reason`, where there is none."""

    value: float | None
    unit: str
    estimator: str
    n: int
    interval: Interval | None
    reason: NotRequired[str]
    smallest_loss: NotRequired[float | None]  # what a run of this size finds with 80% power (docs/protocol.md, rule 26)


class Replicates(NamedTuple):
    """A quantity and what it would have been: values [1 + G + B] for G lineages of the table and B bootstrap draws."""

    values: np.ndarray
    clusters: np.ndarray  # bool [G]: lineages that take part
    fewest: int  # lineages of the smallest category that takes part
    reason: str = ""  # why the quantity does not exist; whatever is made of it does not exist for the same reason


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Which lineages there are, and how often each bootstrap draw takes each of them."""

    lineages: np.ndarray  # str [G], sorted
    multiplicities: np.ndarray  # [B, G]
    deletions: int  # rows kept for deletions in `weights`: one shape, so one compilation, for all categories

    def for_pairs(self, lineages: Mapping[str, np.ndarray], references: Mapping[str, str]) -> Resampling:
        """The same deletions, no bootstrap, with room for the lineages of any category and its reference together."""
        most = max(len(np.unique(np.concatenate([lineages[name], lineages[of]]))) for name, of in references.items())
        return dataclasses.replace(self, deletions=most, multiplicities=self.multiplicities[:0])

    @classmethod
    def of(cls, lineages: Mapping[str, np.ndarray], draws: int, seed: int) -> Resampling:
        """For {category: lineage of each record}; no bootstrap when no category has 32 lineages."""
        names = np.unique(np.concatenate(list(lineages.values())))
        most = max(len(np.unique(of_category)) for of_category in lineages.values())
        rng = np.random.default_rng(seed)
        draws = draws if most >= BOOTSTRAP_FROM else 0
        return cls(names, rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws), most)

    def weights(self, lineages: np.ndarray) -> np.ndarray:
        """Item multiplicities [1 + deletions + B, n] for items of these lineages [n]; spare deletions delete nothing."""
        codes = np.searchsorted(self.lineages, lineages)
        present = np.unique(codes)
        rows = np.ones((1 + self.deletions, len(codes)))
        rows[1 : 1 + len(present)] = codes != present[:, None]
        return np.concatenate([rows, self.multiplicities[:, codes]])

    def local(self, quantity: Replicates, lineages: np.ndarray) -> np.ndarray:
        """A quantity's values under the rows of `weights(lineages)`: the inverse of `replicates`."""
        present = np.unique(np.searchsorted(self.lineages, lineages))
        values = np.full(1 + self.deletions + len(self.multiplicities), quantity.values[0])
        values[1 : 1 + len(present)] = quantity.values[1 + present]
        values[1 + self.deletions :] = quantity.values[1 + len(self.lineages) :]
        return values

    def constant(self, value: float, reason: str = "") -> Replicates:
        """A quantity that no lineage changes; with a value of NaN and a `reason`, one that does not exist."""
        count = len(self.lineages)
        return Replicates(np.full(1 + count + len(self.multiplicities), value), np.zeros(count, bool), count, reason)

    def replicates(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Replicates:
        """The mean over subsamples of values [1 + deletions + B], each given with the lineages [n] whose `weights` made it."""
        total = np.zeros(1 + len(self.lineages) + len(self.multiplicities))
        clusters = np.zeros(len(self.lineages), dtype=bool)
        for values, lineages in parts:
            present = np.unique(np.searchsorted(self.lineages, lineages))
            spread = np.full(total.shape, values[0])  # a lineage that is not here changes nothing here
            spread[1 + present] = values[1 : 1 + len(present)]
            spread[1 + len(clusters) :] = values[1 + self.deletions :]
            clusters[present] = True
            total += spread
        return Replicates(total / len(parts), clusters, int(clusters.sum()))


def combine(function: Callable[..., np.ndarray], *parts: Replicates) -> Replicates:
    """`function` of several quantities, replicate by replicate."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = function(*(part.values for part in parts))
    reason = next((part.reason for part in parts if part.reason), "")
    return Replicates(values, np.any([part.clusters for part in parts], axis=0), min(part.fewest for part in parts), reason)


def difference(a: Replicates, b: Replicates) -> Replicates:
    return combine(np.subtract, a, b)


def ratio(a: Replicates, b: Replicates) -> Replicates:
    return combine(np.divide, a, b)


def average(parts: Sequence[Replicates]) -> Replicates:
    """The unweighted mean: a shift row from its categories."""
    return combine(lambda *values: np.mean(values, axis=0), *parts)


def jackknife(estimates: np.ndarray, centre: float, level: float) -> tuple[float, float]:
    """centre -+ t(G - 1) s, s^2 = (G-1)/G sum_g (estimate without cluster g - their mean)^2, from G such estimates."""
    count = len(estimates)
    error = np.sqrt((count - 1) / count * np.sum((estimates - estimates.mean()) ** 2))
    half = stdtrit(count - 1, (1 + level) / 2) * error
    return float(centre - half), float(centre + half)


def interval(quantity: Replicates, estimator: str, level: float) -> Interval:
    """The jackknife interval of a quantity, the percentile bootstrap beside it from 32 lineages a category on.

    Returns {low, high, level, method, clusters, validated}, and `bootstrap` of the same form or None; low and high are None,
    with a `reason`, where fewer than two lineages take part or the quantity does not exist without one of them. `validated` is
    whether the smallest category has as many lineages as this estimator's coverage was checked for (`VALIDATED_FROM`).
    """
    count = int(quantity.clusters.sum())
    validated = quantity.fewest >= VALIDATED_FROM[estimator]
    result: Interval = {
        "low": None, "high": None, "level": level, "method": "jackknife", "clusters": count, "validated": validated,
        "bootstrap": None,
    }  # fmt: skip
    deleted = quantity.values[1 : 1 + len(quantity.clusters)][quantity.clusters]
    if count < 2:
        return {**result, "reason": "an interval needs two lineages"}
    if not np.all(np.isfinite(deleted)):
        return {**result, "reason": "the estimate does not exist without one of the lineages"}
    result["low"], result["high"] = jackknife(deleted, quantity.values[0], level)
    drawn = quantity.values[1 + len(quantity.clusters) :]
    if quantity.fewest >= BOOTSTRAP_FROM and len(drawn) and np.all(np.isfinite(drawn)):
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        result["bootstrap"] = {
            "low": float(low), "high": float(high), "level": level, "method": "bootstrap", "clusters": count,
            "validated": validated, "draws": len(drawn),
        }  # fmt: skip
    return result


def smallest_loss(of: Interval) -> float | None:
    """Returns the loss that an estimate with this interval finds in `POWER` of runs: (t_level + t_power) times its error.

    None where there is no interval.
    """
    if of["low"] is None or of["high"] is None:
        return None
    freedom = of["clusters"] - 1
    half, found = stdtrit(freedom, (1 + of["level"]) / 2), stdtrit(freedom, POWER)
    return float((of["high"] - of["low"]) / 2 * (half + found) / half)


def number(quantity: Replicates, *, unit: str, estimator: str, n: int, level: float, reason: str = "") -> Estimate:
    """{value, unit, estimator, n, interval}, JSON-ready; value and interval None, with a reason, where there is none.

    That is the quantity's own reason, or else `reason`.
    """
    result: Estimate = {"value": None, "unit": unit, "estimator": estimator, "n": n, "interval": None}
    if not np.isfinite(quantity.values[0]):
        return {**result, "reason": quantity.reason or reason or "not defined for these scores"}
    return {**result, "value": float(quantity.values[0]), "interval": interval(quantity, estimator, level)}
