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

from remid_jax.information.intervals import POWER, Replicates, freedom, standard_error, variance

DRAWS = 200_000  # of all studentized errors: enough for three digits of a critical value
FEWEST_DRAWS = 2_000
MOST_NUMBERS = 20_000_000  # of all draws and quantities: with over 100 quantities there are fewer draws
FEWEST_ERRORS = 200  # draws of the estimated errors; many degrees of freedom need few of them
TRUSTED = 2  # see `common_level`
NUMERATORS = 8  # for every draw of the estimated errors
AT_ONCE = 2_000_000  # normal numbers
ONE_THREAD = 250_000  # multiplications of a product that BLAS leaves to one thread
IN_CACHE = 100_000  # the same, where they are squared and summed at once
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
    low: Float[np.ndarray, "... m"]
    high: Float[np.ndarray, "... m"]


def band(quantities: Sequence[Replicates], level: float, draws: int = DRAWS) -> Band:
    """Returns intervals of quantities of one table that hold together; the same quantities give the same intervals.

    Quantities of several runs have the runs' axis in front, and so have the ends of their intervals, [runs, m]: all of them
    hold together then.
    """
    if not quantities:
        return Band(level, level, 0, np.empty(0), np.empty(0))
    values = np.stack([quantity.values[..., 0] for quantity in quantities], axis=-1)
    errors = np.stack([standard_error(quantity) for quantity in quantities], axis=-1)
    freedoms = np.array([freedom(quantity) for quantity in quantities], dtype=np.int64)
    moving, each = errors > 0, level
    if moving.sum() > 1:
        of_moving = np.broadcast_to(freedoms, moving.shape)[moving]
        each = common_level(directions(quantities, moving), of_moving, level, draws)
    half = stdtrit(np.maximum(freedoms, 1), (1 + each) / 2) * errors
    return Band(level, each, int(moving.sum()), values - half, values + half)


def directions(quantities: Sequence[Replicates], moving: Bool[np.ndarray, "... m"]) -> Float[np.ndarray, "k r"]:
    """Returns rows of length 1 whose products are the correlations of the k quantities that are `moving`.

    The covariance is the jackknife's; where clusters are of several kinds it is the sum by inclusion and exclusion, and what
    `intervals.variance` is above this sum counts as a variance of the quantity's own.
    """
    sets = quantities[0].deletions
    moves = [np.stack([_moves(quantity, of.places) for quantity in quantities], axis=-2)[moving] for of in sets]
    if len(sets) == 1:
        vectors, sizes, _ = np.linalg.svd(moves[0], full_matrices=False)
    else:
        covariance = np.sum([cells.weight * (move @ move.T) for cells, move in zip(sets, moves, strict=True)], axis=0)
        np.fill_diagonal(covariance, np.stack([variance(quantity) for quantity in quantities], axis=-1)[moving])
        squared, vectors = np.linalg.eigh(covariance)
        sizes = np.sqrt(np.maximum(squared, 0.0))
    kept = sizes > 1e-6 * sizes.max()
    rows = vectors[:, kept] * sizes[kept]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _moves(quantity: Replicates, places: slice) -> Float[np.ndarray, "... D"]:
    """How each deletion moves a quantity, so that products are jackknife covariances; 0 where it takes no part."""
    deleted, present = quantity.values[..., 1 : 1 + len(quantity.clusters)][..., places], quantity.clusters[places]
    count = present.sum()
    mean = np.where(present, deleted, 0.0).sum(axis=-1, keepdims=True) / count
    return np.where(present, deleted - mean, 0.0) * np.sqrt((count - 1) / count)


def common_level(
    directions: Float[np.ndarray, "m r"], freedoms: Int[np.ndarray, " m"], level: float, draws: int = DRAWS
) -> float:
    """Returns the level at which m intervals of t(freedoms) each hold together with probability `level`.

    The share of draws in which an interval fails is corrected by how many fail in all, whose mean is known. That holds near the
    level sought alone: with many quantities the number of those that fail anywhere else is too uncertain. So no level is looked
    at by which intervals would fail in `TRUSTED` times as many draws as they may.
    """
    fails, count = 1 - level, len(freedoms)
    draws = int(min(draws, max(FEWEST_DRAWS, MOST_NUMBERS // count)))
    chances, places, largest, draws = _small_chances(directions, freedoms, fails, draws)
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
        holds = middle < largest and seen - slope * (in_all - count * middle) < fails
        low, high = (middle, high) if holds else (low, middle)
    return 1 - (low + high) / 2


def _small_chances(
    directions: Float[np.ndarray, "m r"], freedoms: Int[np.ndarray, " m"], below: float, draws: int
) -> tuple[Float[np.ndarray, " k"], Int[np.ndarray, " k"], float, int]:
    """The two-sided chances of studentized errors, the draw of each, up to which chance all are here, and how many draws there
    are.

    That is `below`, or the chance that in `TRUSTED` times as many draws has a smaller one: of draws that are past it when they
    are drawn, nothing is kept.
    """
    rng, (count, rank), most = np.random.default_rng(SEED), directions.shape, int(freedoms.max())
    outer = min(draws // NUMERATORS, max(FEWEST_ERRORS, MOST_NUMBERS // (most * max(count, rank))))
    inner = -(-draws // outer)
    step = max(1, AT_ONCE // (max(most, inner) * max(count, rank)))
    wanted, largest = int(TRUSTED * below * outer * inner), below
    kinds, kind = np.unique(freedoms, return_inverse=True)
    ends = stdtrit(kinds, 1 - below / 2)[kind]
    smallest, chances, places = np.empty(0), np.empty(0), np.empty(0, np.int64)
    for first in range(0, outer, step):
        rows = min(step, outer - first)
        errors = _errors(rng.standard_normal((rows, most, rank)), directions, freedoms)
        products = _products(rng.standard_normal((rows, inner, rank)), directions)
        sizes = np.abs(products.swapaxes(1, 2)).reshape(rows, inner, -1)[..., :count]
        row, column, quantity = np.nonzero(sizes >= ends * errors)
        found = 2 * stdtr(freedoms[quantity], -sizes[row, column, quantity] / errors[row, 0, quantity])
        draw = (first + row) * inner + column  # ascending
        chances, places = np.concatenate([chances, found]), np.concatenate([places, draw])
        firsts = np.flatnonzero(np.diff(draw, prepend=-1))
        smallest = np.concatenate([smallest, np.minimum.reduceat(found, firsts) if len(firsts) else found])
        if len(smallest) > wanted:
            smallest = np.partition(smallest, wanted)[: wanted + 1]
            largest = float(smallest[wanted])
            kept = chances <= largest
            chances, places, ends = chances[kept], places[kept], stdtrit(kinds, 1 - largest / 2)[kind]
    return chances, places, largest, outer * inner


def _errors(
    drawn: Float[np.ndarray, "rows most r"], directions: Float[np.ndarray, "m r"], freedoms: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "rows 1 m"]:
    """The estimated errors of all quantities: the root of the mean square of as many draws as each has degrees of freedom."""
    errors = np.empty((len(drawn), 1, len(freedoms)))
    for number in np.unique(freedoms).tolist():
        of_number = np.flatnonzero(freedoms == number)
        step = max(1, IN_CACHE // (number * len(drawn)))
        for chosen in (of_number[first : first + step] for first in range(0, len(of_number), step)):
            products = _products(drawn[:, :number], directions[chosen])
            means = np.square(products, out=products).mean(axis=2).reshape(len(drawn), -1)
            errors[:, 0, chosen] = np.sqrt(means[:, : len(chosen)])
    return errors


def _products(
    drawn: Float[np.ndarray, "rows n r"], directions: Float[np.ndarray, "m r"]
) -> Float[np.ndarray, "rows blocks n columns"]:
    """The products of draws and directions, a block of directions at a time, the last one filled up with zeros.

    A block is so small that BLAS leaves it to one thread: several would wait for one another, and beside other programs that
    takes ten times as long.
    """
    count, rank = directions.shape
    columns = min(count, max(1, ONE_THREAD // (drawn.shape[1] * rank)))
    filled = np.zeros((-(-count // columns) * columns, rank))
    filled[:count] = directions
    return drawn[:, None] @ filled.reshape(-1, columns, rank).swapaxes(1, 2)


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
    """Returns {run: the best and the worst rank it may have} of quantities in which the same clusters take part."""
    first = next(iter(quantities.values()))
    stacked = first._replace(values=np.stack([quantity.values for quantity in quantities.values()]))
    return dict(zip(quantities, ranks(stacked, level, larger_is_better, draws), strict=True))


def ranks(quantity: Replicates, level: float, larger_is_better: bool, draws: int = DRAWS) -> list[tuple[int, int]]:
    """Returns the best and the worst rank of each run, 1 for the best run, from intervals of all pairwise differences.

    The intervals hold together, so with probability `level` every run's true rank is in its set. Of over `PAIRED` runs, whose
    pairs are too many, two are told apart where the intervals of their differences to the first run do not meet. `quantity` has
    the runs' axis in front.
    """
    values = quantity.values
    runs = len(values)
    if runs <= PAIRED:
        pairs = np.array(list(itertools.combinations(range(runs), 2)), dtype=np.int64).reshape(-1, 2)
        ahead = np.zeros((runs, runs), dtype=bool)
        if len(pairs):
            found = band([quantity._replace(values=values[pairs[:, 0]] - values[pairs[:, 1]])], level, draws)
            ahead[pairs[:, 0], pairs[:, 1]], ahead[pairs[:, 1], pairs[:, 0]] = found.low[:, 0] > 0, found.high[:, 0] < 0
    else:
        found = band([quantity._replace(values=values - values[0])], level, draws)
        ahead = found.low > found.high[:, 0]
    if not larger_is_better:
        ahead = ahead.T
    before, behind = ahead.sum(axis=0).tolist(), ahead.sum(axis=1).tolist()
    return [(1 + better, runs - worse) for better, worse in zip(before, behind, strict=True)]
