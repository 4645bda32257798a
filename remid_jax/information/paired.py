"""Differences between two ways of measuring the same records; intervals over lineages (docs/protocol.md, rules 9 and 10)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from remid_jax.information.intervals import Estimate, Replicates, Resampling, average, number


def mean_difference(
    a: Mapping[str, Float[np.ndarray, " n"]],
    b: Mapping[str, Float[np.ndarray, " n"]],
    lineages: Mapping[str, np.ndarray],
    level: float = 0.95,
) -> Estimate:
    """The unweighted mean over categories of mean(a - b), as `intervals.number`, from {category: value of each record}.

    A lineage is deleted in all categories at once, so records that share one are never taken for independent. The unit is that
    of the values.
    """
    resampling = Resampling.of(lineages, 0, 0)

    def of(category: str) -> Replicates:
        lineage = lineages[category]
        weights = resampling.weights(lineage)
        with np.errstate(invalid="ignore"):
            values = weights @ (np.asarray(a[category]) - np.asarray(b[category])) / weights.sum(axis=1)
        return resampling.replicates([(values, lineage)])

    n = sum(len(lineage) for lineage in lineages.values())
    return number(average([of(category) for category in lineages]), unit="nats per token", estimator="mean", n=n, level=level)
