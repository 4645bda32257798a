"""What a comparison of runs concludes: differences that hold together, and how runs stand (docs/protocol.md, rule 27).

All of it is in one formula, unit and conditioning: those of the headline. Arrays in, JSON-ready numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from remid_jax.information.differences import EMI, EMID, OVERALL, Place, Quantities, is_loss
from remid_jax.information.intervals import Replicates, freedom, standard_error
from remid_jax.information.simultaneous import DRAWS, band, rank_sets, smallest_difference

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

    `error` is the jackknife's standard error. `rank` holds the best and the worst rank it may have, 1 for the best run.
    """

    value: float | None
    error: float | None
    low: float | None
    high: float | None
    rank: tuple[int, int]


class Family(NamedTuple):
    """The cells of all runs: `each` is the level of one interval by itself, `size` how many of them vary."""

    each: float
    size: int
    cells: dict[tuple[str, Place], Together]


def headline_places(quantities: Quantities, estimator: str, unit: str, scorer: str) -> list[Place]:
    """Returns the places in one estimator, unit and conditioning."""
    return [place for place in quantities if (place.estimator, place.unit, place.scorer) == (estimator, unit, scorer)]


def family(differences: Mapping[str, Quantities], places: Sequence[Place], level: float) -> Family:
    """Returns the intervals of all runs' differences at these places, which hold together with probability `level`."""
    cells = {(run, place): of_run[place] for run, of_run in differences.items() for place in places}
    found = band(list(cells.values()), level)
    together = {
        key: _together(key[1], quantity, low, high, found.each)
        for (key, quantity), low, high in zip(cells.items(), found.low.tolist(), found.high.tolist(), strict=True)
    }
    return Family(found.each, found.cells, together)


def _together(place: Place, quantity: Replicates, low: float, high: float, each: float) -> Together:
    error = float(standard_error(quantity))
    return {
        "low": _number(low),
        "high": _number(high),
        "error": _number(error),
        "validated": place.estimator == "club"
        and place.quantity in (EMI, EMID)
        and len(quantity.deletions) == 1
        and quantity.fewest >= VALIDATED_FROM,
        "smallest_difference": smallest_difference(error, freedom(quantity), each),
    }


def standings(runs: Mapping[str, Quantities], place: Place, level: float) -> dict[str, Standing]:
    """Returns how runs stand at a place; larger EMI is better, larger EMID worse.

    The values' intervals hold together, and so do the rank sets, each by itself and for this place alone.
    """
    quantities = {run: of_run[place] for run, of_run in runs.items()}
    ranks = rank_sets(quantities, level, larger_is_better=not is_loss(place.quantity), draws=STANDING_DRAWS)
    found = band(list(quantities.values()), level, STANDING_DRAWS)
    return {
        run: {
            "value": _number(float(quantity.values[0])),
            "error": _number(float(standard_error(quantity))),
            "low": _number(low),
            "high": _number(high),
            "rank": ranks[run],
        }
        for (run, quantity), low, high in zip(quantities.items(), found.low.tolist(), found.high.tolist(), strict=True)
    }


def best_run(ranked: Mapping[str, Standing]) -> str | None:
    """Returns the run whose rank set is {1}; None where there is no such run."""
    return next((run for run, standing in ranked.items() if standing["rank"] == (1, 1)), None)


def is_overall(place: Place) -> bool:
    """Returns whether a place is the mean over all shifted categories."""
    return place.name == OVERALL and place.kind == "overall"


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
