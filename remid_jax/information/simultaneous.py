"""Intervals of many quantities that hold together, by max-|t|, and what they can find (docs/protocol.md, rule 27).

Every quantity keeps its jackknife error and its degrees of freedom. All intervals get one level, so high that with probability
`level` all of them hold at once. It comes from draws of studentized errors: numerators are normal with the correlation of the
quantities' replicates, and each error is that of as many draws more as it has degrees of freedom, the same draws for all
quantities. So quantities that move together cost nothing, and independent ones what Sidak's rule says. The usual multivariate t
has one error common to all: too narrow here, since each error is estimated.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.special import gammaincinv, nctdtr, stdtr, stdtrit

from remid_jax.information.intervals import POWER, Replicates, difference, freedom, variance

DRAWS = 200_000  # of all studentized errors: enough for three digits of a critical value
FEWEST_DRAWS = 2_000
MOST_NUMBERS = 20_000_000  # of all draws and quantities: with over 100 quantities there are fewer draws
FEWEST_ERRORS = 200  # draws of the estimated errors; many degrees of freedom need few of them
NUMERATORS = 8  # for every draw of the estimated errors
AT_ONCE = 2_000_000  # normal numbers
SEED = 27
PAIRED = 32  # runs of which all pairs are compared
STATED = 200  # errors that tables may state, evenly by chance
LARGEST = 1_000.0  # errors: no difference beyond is worth a number


class Band(NamedTuple):
    """Intervals [low, high] that hold together with probability `level`, NaN where a quantity has none.

    `each` is the level of every interval by itself, `cells` how many quantities vary; those that do not have no width.
    """

    level: float
    each: float
    cells: int
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]


def band(quantities: Sequence[Replicates], level: float, draws: int = DRAWS) -> Band:
    """Returns intervals of quantities of one table that hold together; the same quantities give the same intervals."""
    values = np.array([quantity.values[0] for quantity in quantities])
    freedoms = np.array([freedom(quantity) for quantity in quantities], dtype=np.int64)
    errors = np.array([standard_error(quantity) for quantity in quantities])
    moving = np.flatnonzero(errors > 0).tolist()
    each = level
    if len(moving) > 1:
        each = common_level(directions([quantities[k] for k in moving]), freedoms[moving], level, draws)
    half = stdtrit(np.maximum(freedoms, 1), (1 + each) / 2) * errors
    return Band(level, each, len(moving), values - half, values + half)


def standard_error(quantity: Replicates) -> float:
    """Returns the jackknife's standard error, NaN where there is no interval: fewer than two clusters, or no estimate."""
    deleted = quantity.values[1 : 1 + len(quantity.clusters)][quantity.clusters]
    if freedom(quantity) < 1 or not np.isfinite(quantity.values[0]) or not np.all(np.isfinite(deleted)):
        return float("nan")
    return float(np.sqrt(variance(quantity)))


def directions(quantities: Sequence[Replicates]) -> Float[np.ndarray, "m r"]:
    """Returns rows of length 1 whose products are the correlations of quantities that vary, from their replicates.

    The covariance is the jackknife's; where clusters are of several kinds it is the sum by inclusion and exclusion, and what
    `intervals.variance` is above this sum counts as a variance of the quantity's own.
    """
    deleted = np.stack([quantity.values[1 : 1 + len(quantity.clusters)] for quantity in quantities])
    present = np.stack([quantity.clusters for quantity in quantities])
    sets = quantities[0].deletions
    moves = [_moves(deleted[:, cells.places], present[:, cells.places]) for cells in sets]
    if len(sets) == 1:
        vectors, sizes, _ = np.linalg.svd(moves[0], full_matrices=False)
    else:
        covariance = np.sum([cells.weight * (move @ move.T) for cells, move in zip(sets, moves, strict=True)], axis=0)
        np.fill_diagonal(covariance, [variance(quantity) for quantity in quantities])
        squared, vectors = np.linalg.eigh(covariance)
        sizes = np.sqrt(np.maximum(squared, 0.0))
    kept = sizes > 1e-6 * sizes.max()
    rows = vectors[:, kept] * sizes[kept]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _moves(deleted: Float[np.ndarray, "m D"], present: Bool[np.ndarray, "m D"]) -> Float[np.ndarray, "m D"]:
    """How each deletion moves each quantity, so that products are jackknife covariances; 0 where it takes no part."""
    counts = present.sum(axis=1, keepdims=True)
    mean = np.where(present, deleted, 0.0).sum(axis=1, keepdims=True) / counts
    return np.where(present, deleted - mean, 0.0) * np.sqrt((counts - 1) / counts)


def common_level(
    directions: Float[np.ndarray, "m r"], freedoms: Int[np.ndarray, " m"], level: float, draws: int = DRAWS
) -> float:
    """Returns the level at which m intervals of t(freedoms) each hold together with probability `level`.

    The share of draws in which an interval fails is corrected by how many fail in all, whose mean is known.
    """
    fails, count = 1 - level, len(freedoms)
    draws = int(min(draws, max(FEWEST_DRAWS, MOST_NUMBERS // count)))
    chances, places, draws = _small_chances(directions, freedoms, fails, draws)
    order = np.argsort(chances)
    chances, places = chances[order], places[order]
    smallest = np.sort(chances[np.unique(places, return_index=True)[1]])
    failing = np.bincount(places[chances <= smallest[min(int(fails * draws), len(smallest) - 1)]], minlength=draws)
    covariance = np.cov(failing > 0, failing)
    slope = covariance[0, 1] / covariance[1, 1]
    low, high = fails / count, fails  # by Bonferroni's rule, and where all are one
    for _ in range(50):
        middle = (low + high) / 2
        seen, in_all = (np.searchsorted(of, middle, side="right") / draws for of in (smallest, chances))
        low, high = (middle, high) if seen - slope * (in_all - count * middle) < fails else (low, middle)
    return 1 - (low + high) / 2


def _small_chances(
    directions: Float[np.ndarray, "m r"], freedoms: Int[np.ndarray, " m"], below: float, draws: int
) -> tuple[Float[np.ndarray, " k"], Int[np.ndarray, " k"], int]:
    """The two-sided chances of studentized errors that lie `below`, the draw of each, and how many draws there are."""
    rng, (count, rank), most = np.random.default_rng(SEED), directions.shape, int(freedoms.max())
    outer = min(draws // NUMERATORS, max(FEWEST_ERRORS, MOST_NUMBERS // (most * max(count, rank))))
    inner = -(-draws // outer)
    step = max(1, AT_ONCE // (max(most, inner) * max(count, rank)))
    ends = stdtrit(freedoms, 1 - below / 2)
    chances, places = [], []
    for first in range(0, outer, step):
        rows = min(step, outer - first)
        squares = (rng.standard_normal((rows, most, rank)) @ directions.T) ** 2
        errors = np.empty((rows, count))
        for number in np.unique(freedoms):
            errors[:, freedoms == number] = np.sqrt(squares[:, :number, freedoms == number].mean(axis=1))
        sizes = np.abs(rng.standard_normal((rows, inner, rank)) @ directions.T) / errors[:, None]
        row, column, quantity = np.nonzero(sizes >= ends)
        chances.append(2 * stdtr(freedoms[quantity], -sizes[row, column, quantity]))
        places.append((first + row) * inner + column)
    return np.concatenate(chances), np.concatenate(places), outer * inner


def smallest_difference(error: float, degrees: int, each: float) -> float | None:
    """Returns the true difference that an interval of level `each` tells from 0 with a chance of `POWER`.

    That is the share of other tables of this size that find it, by noncentral t, over the errors that a table may state: this
    table's `error` is one of them. None where there is no error, or one of 0, or too few degrees of freedom for any.
    """
    return error * of_error if error > 0 and (of_error := _found_with_power(degrees, each)) is not None else None


@functools.lru_cache(maxsize=1024)
def _found_with_power(degrees: int, each: float) -> float | None:
    """The same, of an error of 1."""
    critical = stdtrit(degrees, (1 + each) / 2)
    errors = np.sqrt(2 * gammaincinv(degrees / 2, (np.arange(STATED) + 0.5) / STATED) / degrees)

    def missed(size: float) -> float:
        return float(np.mean(nctdtr(degrees, size * errors, critical))) - (1 - POWER)

    most = 2 * critical
    while missed(most) > 0 and most < LARGEST:
        most *= 2
    return float(brentq(missed, 0.0, most)) if missed(most) <= 0 else None


def rank_sets(
    quantities: Mapping[str, Replicates], level: float, larger_is_better: bool, draws: int = DRAWS
) -> dict[str, tuple[int, int]]:
    """Returns {run: the best and the worst rank it may have}, 1 for the best run, from intervals of all pairwise differences.

    The intervals hold together, so with probability `level` every run's true rank is in its set. Of over `PAIRED` runs, whose
    pairs are too many, two are told apart where the intervals of their differences to the first run do not meet.
    """
    runs, values = list(quantities), list(quantities.values())
    if len(runs) <= PAIRED:
        pairs = list(itertools.combinations(range(len(runs)), 2))
        found = band([difference(values[a], values[b]) for a, b in pairs], level, draws)
        ahead = np.zeros((len(runs), len(runs)), dtype=bool)
        for (a, b), low, high in zip(pairs, found.low, found.high, strict=True):
            ahead[a, b], ahead[b, a] = low > 0, high < 0
    else:
        found = band([difference(value, values[0]) for value in values], level, draws)
        ahead = found.low[:, None] > found.high
    if not larger_is_better:
        ahead = ahead.T
    return {
        run: (1 + before, len(runs) - behind)
        for run, before, behind in zip(runs, ahead.sum(axis=0).tolist(), ahead.sum(axis=1).tolist(), strict=True)
    }
