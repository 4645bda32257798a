"""Intervals over lineages that categories share (docs/protocol.md, rules 9 and 10).

Every quantity travels as its `Replicates`: the estimate, then its value without each lineage of the table, then under each
bootstrap draw. A lineage is deleted, or drawn k times, in all categories at once, so differences, means over categories and
ratios are plain arithmetic on replicates, and the covariance that a shared IDTest or a shared lineage makes is kept.

Where records name clusters of several kinds (users, characters), the deletions are those of every cluster of each kind and of
every cell in which kinds meet. The variance is their sum by inclusion and exclusion (`information.clusters`), and never less
than that of one kind alone: the sum subtracts what the kinds share, which is estimated, so it may fall below what a single kind
already shows, or below 0. An interval may then be too wide, not too narrow. Its degrees of freedom are those of the kind with
fewest clusters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from scipy.special import stdtr, stdtrit

from remid_jax.information.clusters import LINEAGE, all_cells, clusters_of, components

BOOTSTRAP_FROM = 32  # lineages; below, the percentile bootstrap covers 82-86% instead of 95%
POWER = 0.8
NOT_DEFINED = "not defined for these scores"
NEVER = 10**9  # lineages: no number of them makes this interval a validated one
VALIDATED_FROM = {  # lineages; estimators of information as `python -m experiments.validate` finds them
    "mean": 16, "club": 16, "prompt_marginal": 32, "mixture": 64, "mixture_raw": 16, "leave_one_out": 32,
    "identified": 64, "misplaced": NEVER,
    "representation": 32, "classifier": 32, "layered": NEVER, "bound": NEVER, "risk": NEVER, "correlation": NEVER,
}  # fmt: skip
CAUTIOUS = ("club", "mean")
FOLD_FROM = 8
"""Estimators, and lineages of a fold, with which intervals of means over two folds cover 94 to 98%: too wide, if anything."""
CROSSED_FROM = dict.fromkeys(VALIDATED_FROM, NEVER)
"""The same where clusters are of several kinds: clusters of the kind that has fewest.

Up to 32 of each, nominal 95% intervals held the truth in 93 to 99.5% of cases (`validation.crossed_study`): too wide, not too
narrow, but not within 93 to 97% everywhere. With the sum taken as it is unless it is negative they fell to 91%.
"""

ROUNDING = 1e-12
SKEWED_FROM = 0.4
"""Skewness of an estimate, by its jackknife, from which few lineages carry it and its interval may end too soon.

Of losses planted in some replies only, intervals below it hold more than all do; where all replies lose, few are above it
(docs/doses.md). Johnson's shift and Hall's transformation hold such losses, but spoil intervals that are right as they are.
"""


class Interval(TypedDict):
    """An interval, JSON-ready; `low` and `high` are None, with a `reason`, where there is none."""

    low: float | None
    high: float | None
    level: float
    method: str
    clusters: int
    kinds: NotRequired[dict[str, int]]
    validated: bool
    cautious: NotRequired[bool]
    skewed: NotRequired[bool]
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


class Deletions(NamedTuple):
    """Those deletions of replicates that leave out the cells of one set of kinds of clusters, one at a time."""

    kinds: tuple[str, ...]
    weight: int  # of their variance in the sum over sets
    places: slice  # among all deletions


class Replicates(NamedTuple):
    """A quantity and what it would have been: values [1 + D + B] for D deletions and B bootstrap draws.

    A deletion leaves out one of the table's lineages, or a cluster or cell where these are of several kinds. Values of the same
    quantity of several runs at once have the runs' axis in front, [runs, 1 + D]: what is made of them has it too.
    """

    values: np.ndarray
    clusters: np.ndarray  # bool [D]: deletions of what takes part
    fewest: int  # lineages, or clusters of the kind with fewest, of the smallest category that takes part
    reason: str = ""  # why the quantity does not exist; whatever is made of it does not exist for the same reason
    deletions: tuple[Deletions, ...] = (Deletions((LINEAGE,), 1, slice(None)),)
    in_folds: int = 0  # of a mean over folds: what `fewest` counts, in all folds together

    @property
    def kinds(self) -> dict[str, int]:
        """How many clusters of each kind take part."""
        return {of.kinds[0]: int(self.clusters[of.places].sum()) for of in self.deletions if len(of.kinds) == 1}


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Which lineages there are, what each deletion leaves out, and how often each bootstrap draw takes each lineage."""

    lineages: np.ndarray  # str [G], sorted
    multiplicities: np.ndarray  # [B, G]
    deletions: int  # rows kept for deletions in `weights`: one shape, so one compilation, for all categories
    kinds: Mapping[str, np.ndarray]  # {kind: cluster of each lineage [G]}
    cells: np.ndarray  # int [sets of kinds, G]: the deletions that leave out each lineage
    sets: tuple[Deletions, ...]  # of `Replicates`

    def for_pairs(self, lineages: Mapping[str, np.ndarray], references: Mapping[str, str]) -> Resampling:
        """The same deletions, no bootstrap, with room for the lineages of any category and its reference together."""
        pairs = [np.concatenate([lineages[name], lineages[of]]) for name, of in references.items()]
        most = max(len(np.unique(self._cells(pair))) for pair in pairs)
        return dataclasses.replace(self, deletions=most, multiplicities=self.multiplicities[:0])

    @classmethod
    def of(
        cls,
        lineages: Mapping[str, np.ndarray],
        draws: int,
        seed: int,
        clusters: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> Resampling:
        """For {category: lineage of each record} and, where records name them, {category: {kind: cluster of each record}}.

        No bootstrap when no category has 32 lineages, or where clusters are of several kinds.
        """
        names, kinds = clusters_of(lineages, clusters or {})
        sets = all_cells(kinds)
        ends = np.cumsum([of.members.max() + 1 for of in sets])
        cells = np.stack([of.members + end - of.members.max() - 1 for of, end in zip(sets, ends, strict=True)])
        places = [slice(int(end - of.members.max() - 1), int(end)) for of, end in zip(sets, ends, strict=True)]
        deletions = tuple(Deletions(of.kinds, of.weight, place) for of, place in zip(sets, places, strict=True))
        without = cls(names, np.empty((0, len(names))), 0, kinds, cells, deletions)
        most = max(len(np.unique(without._cells(of_category))) for of_category in lineages.values())
        rng = np.random.default_rng(seed)
        draws = draws if most >= BOOTSTRAP_FROM and len(sets) == 1 else 0
        drawn = rng.multinomial(int(ends[0]), np.full(ends[0], 1 / ends[0]), size=draws)
        return dataclasses.replace(without, multiplicities=drawn[:, cells[0]], deletions=most)

    @property
    def deleted(self) -> int:
        """How many deletions there are in all: D of `Replicates`."""
        return int(self.cells.max()) + 1

    @functools.cached_property
    def components(self) -> dict[str, str]:
        """{lineage: its group}; groups share no cluster of any kind."""
        return dict(zip(self.lineages.tolist(), components(self.kinds).tolist(), strict=True))

    def _cells(self, lineages: np.ndarray) -> np.ndarray:
        """The deletions that leave out items of these lineages [n]: [sets of kinds, n]."""
        return self.cells[:, np.searchsorted(self.lineages, lineages)]

    def weights(self, lineages: np.ndarray) -> np.ndarray:
        """Item multiplicities [1 + deletions + B, n] for items of these lineages [n]; spare deletions delete nothing."""
        codes, cells = np.searchsorted(self.lineages, lineages), self._cells(lineages)
        present = np.unique(cells)
        rows = np.ones((1 + self.deletions, len(codes)))
        rows[1 : 1 + len(present)] = (cells != present[:, None, None]).all(axis=1)
        return np.concatenate([rows, self.multiplicities[:, codes]])

    def local(self, quantity: Replicates, lineages: np.ndarray) -> np.ndarray:
        """A quantity's values under the rows of `weights(lineages)`: the inverse of `replicates`."""
        present = np.unique(self._cells(lineages))
        values = np.full(1 + self.deletions + len(self.multiplicities), quantity.values[0])
        values[1 : 1 + len(present)] = quantity.values[1 + present]
        values[1 + self.deletions :] = quantity.values[1 + self.deleted :]
        return values

    def constant(self, value: float, reason: str = "") -> Replicates:
        """A quantity that no lineage changes; with a value of NaN and a `reason`, one that does not exist."""
        nothing = np.zeros(self.deleted, bool)
        everything = Replicates(nothing, ~nothing, 0, deletions=self.sets)
        values = np.full(1 + self.deleted + len(self.multiplicities), value)
        return Replicates(values, nothing, min(everything.kinds.values()), reason, self.sets)

    def replicates(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Replicates:
        """The mean over subsamples of values [1 + deletions + B], each given with the lineages [n] whose `weights` made it."""
        total = np.zeros((*parts[0][0].shape[:-1], 1 + self.deleted + len(self.multiplicities)))
        clusters = np.zeros(self.deleted, dtype=bool)
        for values, lineages in parts:
            present = np.unique(self._cells(lineages))
            spread = np.repeat(values[..., :1], total.shape[-1], axis=-1)  # a lineage that is not here changes nothing here
            spread[..., 1 + present] = values[..., 1 : 1 + len(present)]
            spread[..., 1 + len(clusters) :] = values[..., 1 + self.deletions :]
            clusters[present] = True
            total += spread
        found = Replicates(total / len(parts), clusters, 0, deletions=self.sets)
        return found._replace(fewest=min(found.kinds.values()))


def combine(function: Callable[..., np.ndarray], *parts: Replicates) -> Replicates:
    """`function` of several quantities, replicate by replicate."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = function(*(part.values for part in parts))
    reason = next((part.reason for part in parts if part.reason), "")
    clusters = np.any([part.clusters for part in parts], axis=0)
    in_folds = min(max(part.in_folds, part.fewest) for part in parts)
    return Replicates(values, clusters, min(part.fewest for part in parts), reason, parts[0].deletions, in_folds)


def difference(a: Replicates, b: Replicates) -> Replicates:
    return combine(np.subtract, a, b)


def ratio(a: Replicates, b: Replicates) -> Replicates:
    return combine(np.divide, a, b)


def average(parts: Sequence[Replicates]) -> Replicates:
    """The unweighted mean: a shift row from its categories."""
    return combine(lambda *values: np.mean(values, axis=0), *parts)


def jackknife_variance(estimates: np.ndarray) -> np.ndarray:
    """(G-1)/G sum_g (estimate without cluster g - their mean)^2, from G such estimates [..., G]."""
    count = estimates.shape[-1]
    return np.asarray((count - 1) / count * np.sum((estimates - estimates.mean(axis=-1, keepdims=True)) ** 2, axis=-1))


def jackknife(estimates: np.ndarray, centre: float, level: float) -> tuple[float, float]:
    """centre -+ t(G - 1) s, s^2 the jackknife's variance, from G estimates without one cluster each."""
    half = _half(jackknife_variance(estimates), len(estimates), level)
    return float(centre - half), float(centre + half)


def _half(squared_error: np.ndarray, clusters: int, level: float) -> np.ndarray:
    return np.asarray(stdtrit(clusters - 1, (1 + level) / 2) * np.sqrt(squared_error))


def freedom(quantity: Replicates) -> int:
    """Returns the degrees of freedom of a quantity's interval: clusters - 1, of the kind with fewest."""
    return min(quantity.kinds.values()) - 1


def variance(quantity: Replicates) -> np.ndarray:
    """Returns the sum of the jackknife's variances by inclusion and exclusion, at least that of one kind alone."""
    each = [(of, jackknife_variance(_without(quantity, of.places))) for of in quantity.deletions]
    alone = functools.reduce(np.maximum, [found for of, found in each if len(of.kinds) == 1])
    return np.asarray(np.maximum(alone, sum(of.weight * found for of, found in each)))


def _without(quantity: Replicates, places: slice = slice(None)) -> np.ndarray:
    """The values without each cluster that takes part [..., G], of these deletions."""
    deleted = quantity.values[..., 1 : 1 + len(quantity.clusters)][..., places]
    return np.compress(quantity.clusters[places], deleted, axis=-1)


def skewness(quantity: Replicates) -> np.ndarray:
    """Returns the skewness of an estimate: sum_g d_g^3 / (sum_g d_g^2)^1.5, d_g what lineage g adds to it by the jackknife.

    0 where nothing varies but by rounding, and where clusters are of several kinds.
    """
    deleted = _without(quantity)
    added = deleted.mean(axis=-1, keepdims=True) - deleted
    squares = np.sum(added**2, axis=-1)
    if len(quantity.deletions) > 1:
        return np.zeros_like(squares)
    return np.divide(np.sum(added**3, axis=-1), squares**1.5, out=np.zeros_like(squares), where=squares > ROUNDING**2)


def standard_error(quantity: Replicates) -> np.ndarray:
    """Returns the jackknife's standard error, NaN where there is no interval: fewer than two clusters, or no estimate."""
    if freedom(quantity) < 1:
        return np.full(quantity.values.shape[:-1], np.nan)
    exists = np.isfinite(quantity.values[..., 0]) & np.isfinite(_without(quantity)).all(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(exists, np.sqrt(variance(quantity)), np.nan)


def interval(quantity: Replicates, estimator: str, level: float) -> Interval:
    """The jackknife interval of a quantity, the percentile bootstrap beside it from 32 lineages a category on.

    Returns {low, high, level, method, clusters, validated}, and `bootstrap` of the same form or None; low and high are None,
    with a `reason`, where fewer than two lineages take part or the quantity does not exist without one of them. `validated` is
    whether the smallest category has as many lineages as this estimator's coverage was checked for (`VALIDATED_FROM`). Where
    clusters are of several kinds, `kinds` counts each of them, and `clusters` and `validated` are of the one with fewest.
    `skewed` stands, and is true, where so few lineages carry the quantity (`SKEWED_FROM`) that an interval else to be trusted
    may end too soon; `cautious` where that category has so many lineages only in all folds of a cross-fitted estimator: then
    intervals cover more than they say (`validation.folded_study`).
    """
    [result] = intervals(quantity._replace(values=quantity.values[None]), [quantity.fewest], estimator, level)
    drawn = quantity.values[1 + len(quantity.clusters) :]
    if result["low"] is not None and quantity.fewest >= BOOTSTRAP_FROM and len(drawn) and np.all(np.isfinite(drawn)):
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        result["bootstrap"] = {
            "low": float(low), "high": float(high), "level": level, "method": "bootstrap", "clusters": result["clusters"],
            "validated": result["validated"], "draws": len(drawn),
        }  # fmt: skip
    return result


def intervals(quantity: Replicates, fewest: Sequence[int], estimator: str, level: float) -> list[Interval]:
    """The jackknife intervals of a quantity of several runs [runs, 1 + D], each with a `fewest` of its own."""
    count, crossed = min(quantity.kinds.values()), len(quantity.deletions) > 1
    described = {few: _described(quantity._replace(fewest=few), estimator, level) for few in set(fewest)}
    if count < 2:
        few = next(kind for kind, number in quantity.kinds.items() if number < 2)
        needs = "two lineages" if few == LINEAGE else f"two clusters of the kind {few!r}, or lineages that do not name it"
        return [{**described[of], "reason": f"an interval needs {needs}"} for of in fewest]
    missing = f"the estimate does not exist without one of the {'clusters' if crossed else 'lineages'}"
    exists = np.isfinite(_without(quantity)).all(axis=-1)
    with np.errstate(invalid="ignore"):
        half, skewed = _half(variance(quantity), count, level), np.abs(skewness(quantity)) > SKEWED_FROM
    columns = (of.tolist() for of in (exists, skewed, quantity.values[:, 0] - half, quantity.values[:, 0] + half))
    found: list[Interval] = []
    for of, exists_here, by_few, low, high in zip(fewest, *columns, strict=True):
        bounds = described[of].copy()
        if not exists_here:
            bounds["reason"] = missing
        else:
            bounds["low"], bounds["high"] = low, high
            if by_few and is_trusted(bounds):
                bounds["skewed"] = True
        found.append(bounds)
    return found


def _described(quantity: Replicates, estimator: str, level: float) -> Interval:
    """An interval of such a quantity but for its ends."""
    kinds, crossed = quantity.kinds, len(quantity.deletions) > 1
    validated = quantity.fewest >= (CROSSED_FROM if crossed else VALIDATED_FROM)[estimator]
    result: Interval = {
        "low": None, "high": None, "level": level, "method": "jackknife", "clusters": min(kinds.values()),
        "validated": validated, "bootstrap": None,
    }  # fmt: skip
    if crossed:
        result["kinds"] = kinds
    elif not validated and estimator in CAUTIOUS and _fills_folds(quantity, estimator):
        result["cautious"] = True
    return result


def _fills_folds(quantity: Replicates, estimator: str) -> bool:
    return quantity.fewest >= FOLD_FROM and quantity.in_folds >= VALIDATED_FROM[estimator]


def is_trusted(bounds: Interval) -> bool:
    """Returns whether an interval holds its value at least as often as it says: it is validated, or cautious."""
    return bounds["validated"] or bounds.get("cautious", False)


def smallest_loss(of: Interval) -> float | None:
    """Returns the loss that an estimate with this interval finds in `POWER` of runs: (t_level + t_power) times its error.

    None where there is no interval.
    """
    if of["low"] is None or of["high"] is None:
        return None
    freedom = of["clusters"] - 1
    half, found = stdtrit(freedom, (1 + of["level"]) / 2), stdtrit(freedom, POWER)
    return float((of["high"] - of["low"]) / 2 * (half + found) / half)


def share_found(of: Interval, loss: float) -> float | None:
    """Returns the share of runs in which an interval like this one would lie above 0 if that much were lost.

    P(t < loss / error - t_level), so `POWER` at `smallest_loss`; None where there is no interval, or one without width.
    """
    if of["low"] is None or of["high"] is None or of["low"] == of["high"]:
        return None
    freedom = of["clusters"] - 1
    half = stdtrit(freedom, (1 + of["level"]) / 2)
    return float(stdtr(freedom, half * (2 * loss / (of["high"] - of["low"]) - 1)))


def number(quantity: Replicates, *, unit: str, estimator: str, n: int, level: float, reason: str = "") -> Estimate:
    """{value, unit, estimator, n, interval}, JSON-ready; value and interval None, with a reason, where there is none.

    That is the quantity's own reason, or else `reason`.
    """
    result: Estimate = {"value": None, "unit": unit, "estimator": estimator, "n": n, "interval": None}
    if not np.isfinite(quantity.values[0]):
        return {**result, "reason": quantity.reason or reason or NOT_DEFINED}
    return {**result, "value": float(quantity.values[0]), "interval": interval(quantity, estimator, level)}


def numbers(
    quantity: Replicates, fewest: Sequence[int], *, unit: str, estimator: str, n: int, level: float, reason: str = ""
) -> list[Estimate]:
    """`number` of a quantity of several runs [runs, 1 + D], each with a `fewest` of its own; without a bootstrap."""
    nothing: Estimate = {"value": None, "unit": unit, "estimator": estimator, "n": n, "interval": None}
    why = quantity.reason or reason or NOT_DEFINED
    return [
        {**nothing, "value": value, "interval": of} if np.isfinite(value) else {**nothing, "reason": why}
        for value, of in zip(quantity.values[:, 0].tolist(), intervals(quantity, fewest, estimator, level), strict=True)
    ]
