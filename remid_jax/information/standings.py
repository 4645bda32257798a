"""What a comparison of runs concludes: differences that hold together, and how runs stand (docs/protocol.md, rule 27).

All of it is in one formula, unit and conditioning: those of the headline. Arrays in, JSON-ready numbers out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Float

from remid_jax.information.differences import EMI, EMID, OVERALL, Changed, Headline, Place, is_loss
from remid_jax.information.intervals import Replicates, freedom, standard_error
from remid_jax.information.simultaneous import DRAWS, PAIRED, band, ranks, smallest_difference

VALIDATED_FROM = 32
"""Lineages with other replies, of differences of whole replies by `club`: see `validation.simultaneous_study`. Those of the
novel part are not validated: in its world 95.9% to 97.9% of 1,000 tables held all cells at 16 and 32 lineages."""
STANDING_DRAWS = DRAWS // 8  # of each place: two digits of a critical value


class Together(TypedDict):
    """A difference's interval among all cells shown, and the true difference that it finds with a chance of 80%.

    `error` is the jackknife's standard error. None where there is no interval; `smallest_difference` is None also where no
    reply differs.
    """

    low: float | None
    high: float | None
    error: float | None
    validated: bool
    smallest_difference: float | None


class Standing(TypedDict):
    """A run at one place: its own value, the interval of it that holds together with those of all runs, and its rank set.

    `error` is the jackknife's standard error. `rank` holds the best and the worst rank it may have, 1 for the best run. Of over
    `PAIRED` runs, `low`, `high` and `rank` are sought over all shifted categories, and None elsewhere.
    """

    value: float | None
    error: float | None
    low: float | None
    high: float | None
    rank: tuple[int, int] | None


class Family(NamedTuple):
    """The cells of all runs: `each` is the level of one interval by itself, `size` how many of them vary.

    `cells` has those of every run but the baseline, by place.
    """

    each: float
    size: int
    cells: dict[Place, list[Together]]


def headline_places(places: Iterable[Place], headline: Headline) -> list[Place]:
    """Returns the places in the headline's conditioning, formula and unit."""
    return [place for place in places if (place.scorer, place.estimator, place.unit) == headline]


def family(differences: Mapping[Place, Changed], places: Sequence[Place], level: float) -> Family:
    """Returns the intervals of all runs' differences at these places, which hold together with probability `level`."""
    found = band([differences[place].by for place in places], level)
    cells = {
        place: _together(place, differences[place], found.low[:, number], found.high[:, number], found.each)
        for number, place in enumerate(places)
    }
    return Family(found.each, found.cells, cells)


def _together(
    place: Place, of: Changed, low: Float[np.ndarray, " runs"], high: Float[np.ndarray, " runs"], each: float
) -> list[Together]:
    known = place.estimator == "club" and place.quantity in (EMI, EMID) and len(of.by.deletions) == 1
    degrees = freedom(of.by)
    columns = (of_all.tolist() for of_all in (low, high, standard_error(of.by), of.fewest))
    return [
        {
            "low": _number(lowest),
            "high": _number(highest),
            "error": _number(error),
            "validated": known and fewest >= VALIDATED_FROM,
            "smallest_difference": smallest_difference(error, degrees, each),
        }
        for lowest, highest, error, fewest in zip(*columns, strict=True)
    ]


def standings(quantity: Replicates, place: Place, level: float) -> list[Standing]:
    """Returns how runs stand at a place; larger EMI is better, larger EMID worse.

    The values' intervals hold together, and so do the rank sets, each by itself and for this place alone.
    """
    values, errors = quantity.values[:, 0].tolist(), standard_error(quantity).tolist()
    low = high = [float("nan")] * len(values)
    rank: Sequence[tuple[int, int] | None] = [None] * len(values)
    if len(values) <= PAIRED or is_overall(place):
        rank = ranks(quantity, level, larger_is_better=not is_loss(place.quantity), draws=STANDING_DRAWS)
        found = band([quantity], level, STANDING_DRAWS)
        low, high = found.low[:, 0].tolist(), found.high[:, 0].tolist()
    return [
        {"value": _number(value), "error": _number(error), "low": _number(lowest), "high": _number(highest), "rank": of_run}
        for value, error, lowest, highest, of_run in zip(values, errors, low, high, rank, strict=True)
    ]


def best_run(ranked: Mapping[str, Standing]) -> str | None:
    """Returns the run whose rank set is {1}; None where there is no such run."""
    return next((run for run, standing in ranked.items() if standing["rank"] == (1, 1)), None)


def is_overall(place: Place) -> bool:
    """Returns whether a place is the mean over all shifted categories."""
    return place.name == OVERALL and place.kind == "overall"


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
