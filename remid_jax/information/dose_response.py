"""What each quantity says of policies whose order is known, from score tables alone (docs/doses.md).

A rung is such a policy, a score table in which it is `policy`; all share records and golden replies. Values are of the policy
against golden replies, so those of golden replies themselves are 0. {quantity: {category: {rung: number}}} are `Values`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from remid_jax.information.estimates import Settings, estimates, plan_of
from remid_jax.information.exchanges import of_records
from remid_jax.information.intervals import Estimate
from remid_jax.information.score_table import Category, ScoreTable
from remid_jax.parallel import Devices

Values = dict[str, dict[str, dict[str, Estimate]]]
Report = Callable[[int, int], None]
CERTAIN_WITHIN = 1e-9  # of an interval: a value that no lineage changes, such as how far golden replies of others are misplaced
SIZES = (8, 16, 32, 64)  # lineages of a run whose power is asked for


class Quantity(NamedTuple):
    """Where a quantity stands in a category's section of the estimates; `sign` is -1 if larger is worse."""

    path: tuple[str, ...]
    sign: int = 1


QUANTITIES: Mapping[str, Quantity] = {
    **{f"club {unit}": Quantity(("emi", "club", unit)) for unit in ("token_rate", "response", "per_token", "per_char")},
    **{
        f"novel club {unit}": Quantity(("by_source", "emi", "novel", "club", unit))
        for unit in ("token_rate", "response", "per_token", "per_char")
    },
    "identified": Quantity(("identified", "emi", "whole")),
    "novel identified": Quantity(("identified", "emi", "novel")),
    "misplaced_equivalent": Quantity(("misplaced_equivalent", "emi", "whole"), -1),
    "novel misplaced_equivalent": Quantity(("misplaced_equivalent", "emi", "novel"), -1),
    **{f"mixture {unit}": Quantity(("emi", "mixture", unit)) for unit in ("response", "per_token", "per_char")},
    **{f"prompt_marginal {unit}": Quantity(("emi", "prompt_marginal", unit)) for unit in ("response", "per_token", "per_char")},
}
"""By name: formula and unit, of whole replies or of their novel part; `club token_rate` is what R-EMID is made of."""


def values(tables: Mapping[str, ScoreTable], settings: Settings, report: Report) -> Values:
    """Returns every quantity of every rung in every category; `report` is told of each rung. Wants float64."""
    found: Values = {name: {category: {} for category in next(iter(tables.values())).categories} for name in QUANTITIES}
    plan = None
    for done, (rung, table) in enumerate(tables.items()):
        plan = plan or plan_of(table, settings, Devices(local=True))  # of records and golden replies alone, which rungs share
        sections = estimates(table, settings, plan)["categories"]
        for name, quantity in QUANTITIES.items():
            for category, section in sections.items():
                at: Any = section[table.scorers[0]]
                for key in quantity.path:
                    at = at[key]
                found[name][category][rung] = at
        report(done + 1, len(tables))
    return found


def on_ladders(found: Values, ladders: Mapping[str, Sequence[str]]) -> dict[str, dict[str, dict[str, str]]]:
    """Returns how each quantity goes down each ladder in each category: {quantity: {ladder: {category: how}}}.

    "monotone": no rung is above the one before it; "resolved": and the last is below the first by its interval; "within": some
    rung is, but their intervals overlap; "reversed": they do not; "missing": it is not known of some rung.
    """

    def how(of_rungs: Mapping[str, Estimate], rungs: Sequence[str], sign: int) -> str:
        placed = [_placed(of_rungs[rung], sign) for rung in rungs]
        if any(place is None for place in placed):
            return "missing"
        known = [place for place in placed if place is not None]
        steps = list(itertools.pairwise(known))
        if all(after.value <= before.value for before, after in steps):
            return "resolved" if known[-1].high < known[0].low else "monotone"
        return "reversed" if any(after.low > before.high for before, after in steps) else "within"

    return {
        name: {
            ladder: {category: how(of_rungs, rungs, QUANTITIES[name].sign) for category, of_rungs in of_categories.items()}
            for ladder, rungs in ladders.items()
        }
        for name, of_categories in found.items()
    }


def on_pairs(found: Values, pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, dict[str, str]]]:
    """Returns whether the better rung of each pair is above the worse: {quantity: {"better > worse": {category: how}}}.

    The words are those of `on_ladders`, for a ladder of two.
    """
    return on_ladders(found, {f"{better} > {worse}": (better, worse) for better, worse in pairs})


def order(found: Values) -> dict[str, dict[str, list[str]]]:
    """Returns the rungs of each quantity and category from the best to the worst, without those it is not known of."""

    def sorted_rungs(of_rungs: Mapping[str, Estimate], sign: int) -> list[str]:
        known = {rung: sign * number["value"] for rung, number in of_rungs.items() if number["value"] is not None}
        return sorted(known, key=lambda rung: -known[rung])

    return {
        name: {category: sorted_rungs(of_rungs, QUANTITIES[name].sign) for category, of_rungs in of_categories.items()}
        for name, of_categories in found.items()
    }


def across_languages(
    found: Values, pairs: Mapping[str, str], rungs: Sequence[str], bytes_per_char: Mapping[str, float]
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns each rung's value in a category over its value in the category that `pairs` it with: 1 where language changes
    nothing. {quantity: {category: {rung: ratio}}}; without rungs whose values are not known, or differ in sign.

    `club per_byte` is `club per_char` by the bytes of a character in UTF-8: it assumes that a rung's replies have the golden
    replies' ratio of the two.
    """
    by_byte = {
        category: {
            rung: None if number["value"] is None else number["value"] / bytes_per_char[category]
            for rung, number in of_rungs.items()
        }
        for category, of_rungs in found["club per_char"].items()
    }
    plain = {
        name: {category: {rung: number["value"] for rung, number in of.items()} for category, of in of_categories.items()}
        for name, of_categories in found.items()
    }
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for name, of_categories in (plain | {"club per_byte": by_byte}).items():
        ratios[name] = {}
        for category, other in pairs.items():
            sides = {rung: (of_categories[category][rung], of_categories[other][rung]) for rung in rungs}
            ratios[name][category] = {
                rung: here / there for rung, (here, there) in sides.items() if here and there and here * there > 0
            }
    return ratios


def power(
    tables: Mapping[str, ScoreTable], settings: Settings, seed: int, report: Report
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns {lineages: {quantity: {rung: effect over standard error}}} at each of `SIZES` that the tables have lineages for.

    Lineages are drawn with the seed into as many parts of a size as there are, without overlap; a ratio is the mean of its
    absolute values over parts and categories: 0 where there is no value or no interval. None where no lineage changes the value
    anywhere. Wants float64.
    """
    first = next(iter(tables.values()))
    lineages = np.unique(np.concatenate([category.lineage for category in first.categories.values()]))
    mixed = np.random.default_rng(seed).permutation(lineages)
    parts = {size: [mixed[k : k + size] for k in range(0, len(mixed) - size + 1, size)] for size in SIZES}
    steps, done = sum(map(len, parts.values())) * len(tables), 0
    found = {}

    def advance(rungs: int, _: int) -> None:
        report(done + rungs, steps)

    for size, of_size in parts.items():
        ratios: dict[str, dict[str, list[float]]] = {name: {rung: [] for rung in tables} for name in QUANTITIES}
        for part in of_size:
            subset = {rung: _of_lineages(table, part) for rung, table in tables.items()}
            for name, of_categories in values(subset, settings, advance).items():
                for of_rungs in of_categories.values():
                    for rung, number in of_rungs.items():
                        if (ratio := _over_error(number)) is not None:
                            ratios[name][rung].append(ratio)
            done += len(tables)
        if of_size:
            found[str(size)] = {
                name: {rung: float(np.mean(of)) if of else None for rung, of in of_rungs.items()}
                for name, of_rungs in ratios.items()
            }
    return found


class _Placed(NamedTuple):
    value: float
    low: float
    high: float


def _placed(number: Estimate, sign: int) -> _Placed | None:
    """A value and its interval, turned so that larger is better."""
    bounds = number["interval"]
    if number["value"] is None or bounds is None or bounds["low"] is None or bounds["high"] is None:
        return None
    low, high = sorted((sign * bounds["low"], sign * bounds["high"]))
    return _Placed(sign * number["value"], low, high)


def _over_error(number: Estimate) -> float | None:
    """|value| over its standard error: 0 where nothing can be said, None where the error is rounding alone."""
    bounds = number["interval"]
    if number["value"] is None or bounds is None or bounds["low"] is None or bounds["high"] is None:
        return 0.0
    half = (bounds["high"] - bounds["low"]) / 2
    if half < CERTAIN_WITHIN:
        return None
    return float(abs(number["value"]) / half * stdtrit(bounds["clusters"] - 1, (1 + bounds["level"]) / 2))


def _of_lineages(table: ScoreTable, lineages: np.ndarray) -> ScoreTable:
    def of_category(category: Category) -> Category:
        places = np.flatnonzero(np.isin(category.lineage, lineages))
        return dataclasses.replace(
            category,
            record=category.record[places],
            lineage=category.lineage[places],
            clusters={kind: clusters[places] for kind, clusters in category.clusters.items()},
            replies={name: of_records(replies, places) for name, replies in category.replies.items()},
            fold=None if category.fold is None else category.fold[places],
            unreasoned=None if category.unreasoned is None else category.unreasoned[places],
        )

    taken = {name: of_category(category) for name, category in table.categories.items()}
    return dataclasses.replace(table, categories=taken)
