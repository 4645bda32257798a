"""Numbers of replies beside scores of them: agreement, and the means of each system, with intervals.

    {"agreement": {score: {quantity: {measure: estimate}}},          measures: `information.rank_agreement`
     "systems": {system: {"quantities": {quantity: estimate}, "scores": {score: estimate}}}}

Intervals of agreement are over lineages of contexts and, where a lineage is answered by several systems and a system answers
several lineages, over systems as well (`information.clusters`): they are about other contexts *and other systems*. Beside such
a one stands "contexts", the interval over contexts alone, about these systems. Means of a system are over lineages. A reply
without a score is left out of that score's numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from remid_jax.information.intervals import Deletions, Replicates, Resampling, interval, number
from remid_jax.information.pointwise import unit_of
from remid_jax.information.rank_agreement import FEWEST_SYSTEMS, MEASURES, rank_agreement

CONTEXT, SYSTEM = "context", "system"
MOST_GROUPS = 200  # of lineages: above, seeded groups of them are left out together
ALL = "replies"  # the one category of the resampling
UNITS = {"spearman": "rank_correlation", "kendall": "rank_correlation", "pairs": "share", "systems": "rank_correlation"}
REASONS = {
    "spearman": "numbers or scores are the same everywhere",
    "kendall": "numbers or scores are the same everywhere",
    "pairs": "no context has two replies with unlike scores",
    "systems": f"needs {FEWEST_SYSTEMS} systems with unlike means",
}


@dataclasses.dataclass(frozen=True)
class RatedNumbers:
    """n replies: whose they are, what is known of them, and the scores they were given (NaN: none)."""

    context: np.ndarray  # [n] str
    lineage: np.ndarray  # [n] str: of the context
    system: np.ndarray  # [n] str
    quantities: Mapping[str, Float[np.ndarray, " n"]]
    scores: Mapping[str, Float[np.ndarray, " n"]]


def agreement_estimates(rated: RatedNumbers, level: float, seed: int) -> dict[str, Any]:
    """Returns the sections of the module docstring; quantities are those of `pointwise`."""
    measured = {
        score: {
            quantity: agreement_of(numbers, scores, rated.context, rated.lineage, rated.system, level, seed)
            for quantity, numbers in rated.quantities.items()
        }
        for score, scores in rated.scores.items()
    }
    systems = {system: _means(rated, system, level, seed) for system in dict.fromkeys(rated.system.tolist())}
    return {"agreement": measured, "systems": systems}


def measures(
    numbers: np.ndarray, scores: np.ndarray, context: np.ndarray, lineage: np.ndarray, system: np.ndarray, seed: int
) -> dict[str, Replicates]:
    """Returns each of `MEASURES` with its replicates, of replies that all have a number and a score."""
    group = grouped(lineage, MOST_GROUPS, seed)
    cell = np.array([f"{of_context} / {of_system}" for of_context, of_system in zip(group, system, strict=True)])
    kinds = {CONTEXT: group} | ({SYSTEM: system} if is_crossed(group, system) else {})
    resampling = Resampling.of({ALL: cell}, 0, seed, {ALL: kinds})
    codes = [np.unique(names, return_inverse=True)[1] for names in (context, system)]
    found = rank_agreement(numbers, scores, codes[0], codes[1], resampling.weights(cell))
    return {measure: resampling.replicates([(found[measure], cell)]) for measure in MEASURES}


def is_crossed(lineage: np.ndarray, system: np.ndarray) -> bool:
    """Returns whether some lineage is answered by several systems, and some system answers several lineages."""
    pairs = np.unique(np.stack([lineage, system]), axis=1)
    return all(len(np.unique(names)) < len(names) for names in pairs)


def grouped(lineage: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Returns a group for each lineage, itself where there are no more than `most`; else `most` groups of nearly equal size."""
    names, codes = np.unique(lineage, return_inverse=True)
    if len(names) <= most:
        return lineage
    groups = np.random.default_rng(seed).permutation(len(names)) % most
    return np.array([f"group {group}" for group in groups[codes].tolist()])


def over_contexts(quantity: Replicates) -> Replicates:
    """Returns the quantity with deletions of contexts alone."""
    [of_contexts] = [of.places for of in quantity.deletions if of.kinds == (CONTEXT,)]
    clusters = quantity.clusters[of_contexts]
    values = np.concatenate([quantity.values[:1], quantity.values[1:][of_contexts]])
    return quantity._replace(
        values=values, clusters=clusters, fewest=int(clusters.sum()), deletions=(Deletions((CONTEXT,), 1, slice(None)),)
    )


def agreement_of(
    numbers: np.ndarray,
    scores: np.ndarray,
    context: np.ndarray,
    lineage: np.ndarray,
    system: np.ndarray,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Returns {measure: estimate} of the replies that have a number and a score (NaN: none); arrays are [n]."""
    chosen = ~np.isnan(numbers) & ~np.isnan(scores)
    if not chosen.any():
        nothing = {"value": None, "estimator": "correlation", "n": 0, "interval": None, "reason": "no reply has both"}
        return {measure: {**nothing, "unit": UNITS[measure]} for measure in MEASURES}
    found = measures(numbers[chosen], scores[chosen], context[chosen], lineage[chosen], system[chosen], seed)
    return {measure: _told(of, measure, int(chosen.sum()), level) for measure, of in found.items()}


def _told(quantity: Replicates, measure: str, count: int, level: float) -> dict[str, Any]:
    told: dict[str, Any] = dict(
        number(quantity, unit=UNITS[measure], estimator="correlation", n=count, level=level, reason=REASONS[measure])
    )
    if told["interval"] is not None and len(quantity.kinds) > 1:
        told["contexts"] = interval(over_contexts(quantity), "correlation", level)
    return told


def mean_estimate(values: np.ndarray, lineage: np.ndarray, unit: str, level: float, seed: int) -> dict[str, Any]:
    """Returns the mean of `values` [n], those that are NaN left out, with its interval over lineages [n]."""
    chosen = ~np.isnan(values)
    count = int(chosen.sum())
    if not count:
        return {"value": None, "unit": unit, "estimator": "mean", "n": 0, "interval": None, "reason": "not given"}
    group = grouped(lineage[chosen], MOST_GROUPS, seed)
    resampling = Resampling.of({ALL: group}, 0, seed)
    weights = resampling.weights(group)
    with np.errstate(invalid="ignore"):
        means = weights @ values[chosen] / weights.sum(axis=1)
    return dict(number(resampling.replicates([(means, group)]), unit=unit, estimator="mean", n=count, level=level))


def _means(rated: RatedNumbers, system: str, level: float, seed: int) -> dict[str, Any]:
    own = rated.system == system

    def mean(values: np.ndarray, unit: str) -> dict[str, Any]:
        return mean_estimate(values[own], rated.lineage[own], unit, level, seed)

    return {
        "quantities": {name: mean(values, unit_of(name)) for name, values in rated.quantities.items()},
        "scores": {name: mean(values, "score") for name, values in rated.scores.items()},
    }
