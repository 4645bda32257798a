"""Whether R-EMID covers a loss that was planted in one shift, and the verdict names that shift (docs/doses.md).

A policy is golden everywhere but in the categories of one shift, where each record is given the golden reply of another with a
known probability, the share. `club` is linear in what each record is told, so its loss is that share of the loss of a policy
that tells all of them so: the truth, over a population of lineages that is the table's own. Each draw takes as many lineages
from it, or twice as many, with replacement, and misplaces records at random. A lineage that is drawn twice stands for two that
are alike: what a reply is worth in the context of its double is not known, so there it takes its mean over the other contexts,
which leaves the expectation of `club` what it is.

Under the other shifts the policy is golden, so its R-EMID is exactly 0 with an interval of no width: no verdict names them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from remid_jax.errors import UserError
from remid_jax.information import emi
from remid_jax.information.exchanges import exchanged, of_records
from remid_jax.information.intervals import Estimate, Replicates, difference, numbers
from remid_jax.information.measurement import Plan, make_plan, measure_linear
from remid_jax.information.score_table import NOVEL, Category, Replies, ScoreTable
from remid_jax.information.verdict import LOSS, finding
from remid_jax.parallel import Devices

RATE = ("club", "token_rate")
SHARES = (0.1, 0.25, 0.5, 1.0)  # of the records of a shift
TIMES = (1, 2)  # as many lineages a draw as the table has
FEWEST = 8  # lineages to draw from
AT_ONCE = 100  # draws in memory together
GOLDEN, OTHER = "golden", "golden_other"
VIEWS: Mapping[str, Callable[[Replies], Replies]] = {
    "whole": lambda replies: replies,
    "novel": lambda replies: replies.part(NOVEL),
}
Pairs = Mapping[str, tuple[Replies, Replies]]  # by category: golden replies, and those of others
Report = Callable[[int, int], None]


class Draw(NamedTuple):
    """Which lineages a draw takes, and whose records of each category it misplaces."""

    chosen: Int[np.ndarray, " n"]
    misplaced: Mapping[str, Bool[np.ndarray, " n"]]


def study(
    table: ScoreTable, shares: Sequence[float], draws: int, level: float, seed: int, report: Report
) -> list[dict[str, Any]]:
    """Returns a row for each number of lineages, shift, share and view of replies:

        {"lineages", "shift", "share", "view", "draws", "changed", "planted", "mean", "covered", "short", "beyond", "named",
         "skewed", "others"}

    `changed` is how many replies a draw misplaces, in the mean; `planted` the true R-EMID, nats a token, and `mean` its mean
    estimate. The rest are shares of the draws: whose interval holds the truth, ends below it, begins above it; that are named;
    whose interval is marked as skewed; and the share of the others that hold the truth, None where there are none.

    Raises:
      UserError: the table has folds or lacks `golden_other`, or fewer than 8 lineages have one record in every category.
    """
    table = _population(table)
    shifts = {shift: names for shift, names in table.shifts.items() if all(name in table.references for name in names)}
    views = list(VIEWS) if all(of.by_source is not None for of in _replies(table)) else ["whole"]
    rows, done, total = [], 0, len(TIMES) * len(shifts) * len(shares) * len(views) * draws
    with jax.enable_x64(True):
        plan = _plan(table, seed)
        for times in TIMES:
            grown = _grown(table, times)
            of_draw, n = _plan(grown, seed), times * plan.n
            for place, (shift, share, view) in enumerate(itertools.product(shifts, shares, views)):
                pairs: Pairs = {name: _pair(table.categories[name], view) for name in shifts[shift]}
                nothing = Draw(np.arange(plan.n), {name: np.ones(plan.n, bool) for name in pairs})
                planted = share * float(lost(table, plan, pairs, [nothing]).values[0, 0])
                found = []
                for first in range(0, draws, AT_ONCE):
                    some = [
                        draw(list(pairs), plan.n, n, share, np.random.default_rng([seed, times, place // len(views), k]))
                        for k in range(first, min(first + AT_ONCE, draws))
                    ]
                    many = lost(grown, of_draw, pairs, some)
                    made = numbers(many, [n] * len(some), unit=RATE[1], estimator=RATE[0], n=n, level=level)
                    found += [(of["value"], *side(of, planted), finding(of) == LOSS, _skewed(of)) for of in made]
                    done += len(some)
                    report(done, total)
                mean, short, beyond, named, skewed = np.array(found, float).mean(axis=0).tolist()
                others = [not (short or beyond) for _, short, beyond, _, skewed in found if not skewed]
                rows.append(
                    {"lineages": n, "shift": shift, "share": share, "view": view, "draws": draws}
                    | {"changed": share * n * len(pairs), "planted": planted, "mean": mean}
                    | {"covered": 1 - short - beyond, "short": short, "beyond": beyond, "named": named}
                    | {"skewed": skewed, "others": float(np.mean(others)) if others else None}
                )
    return rows


def draw(names: Sequence[str], population: int, n: int, share: float, rng: np.random.Generator) -> Draw:
    """Returns n lineages of the population, with replacement, and records of theirs in each category, each by that chance."""
    return Draw(rng.integers(population, size=n), {name: rng.random(n) < share for name in names})


def lost(table: ScoreTable, plan: Plan, pairs: Pairs, draws: Sequence[Draw]) -> Replicates:
    """Returns R-EMID of each draw [draws, 1 + n] by the product's own path, of a policy that is golden in the reference.

    There its EMI is exactly 0. `table` and `plan` are of as many lineages as a draw takes.
    """
    losses: list[emi.Estimates] = []
    for name, (golden, other) in pairs.items():
        told = [drawn(golden, of.chosen) for of in draws]
        policy = [exchanged(right, drawn(other, of.chosen), of.misplaced[name]) for right, of in zip(told, draws, strict=True)]
        of_golden, of_policy = (
            measure_linear(name, table.categories[name], _together(of), table.scorers[0], plan) for of in (told, policy)
        )
        losses.append({RATE: difference(of_golden[RATE], of_policy[RATE])})
    return emi.shift_row(losses)[RATE]


def drawn(replies: Replies, chosen: Int[np.ndarray, " n"]) -> Replies:
    """Returns the replies of the chosen records, doubles as said above."""
    taken, apart = of_records(replies, chosen), chosen[:, None] != chosen
    doubles = ~apart & ~np.eye(len(chosen), dtype=bool)

    def filled(loglik: np.ndarray) -> np.ndarray:
        return np.where(doubles, (loglik * apart).sum(axis=0) / apart.sum(axis=0), loglik)

    return Replies(taken.tokens, taken.chars, {scorer: filled(of) for scorer, of in taken.loglik.items()}, taken.marginal)


def _together(of: Sequence[Replies]) -> Replies:
    """The replies of several draws, with the draws' axis in front."""

    def each(trees: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {scorer: np.stack([tree[scorer] for tree in trees]) for scorer in trees[0]}

    tokens, chars = (np.stack(arrays) for arrays in zip(*((each.tokens, each.chars) for each in of), strict=True))
    return Replies(tokens, chars, each([replies.loglik for replies in of]), each([replies.marginal for replies in of]))


def side(made: Estimate, truth: float) -> tuple[bool, bool]:
    """Returns whether the interval of a number ends below the truth, and whether it begins above it."""
    bounds = made["interval"]
    assert bounds is not None
    assert bounds["low"] is not None
    assert bounds["high"] is not None
    return bounds["high"] < truth, bounds["low"] > truth


def _skewed(made: Estimate) -> bool:
    return made["interval"] is not None and made["interval"].get("skewed", False)


def _plan(table: ScoreTable, seed: int) -> Plan:
    return make_plan(table, Devices(local=True), subsamples=1, pairs=1, bootstrap=0, seed=seed)


def _grown(table: ScoreTable, times: int) -> ScoreTable:
    """A table of so many times as many lineages, whose records are the same over and over: for the plan of its draws."""

    def of(category: Category) -> Category:
        n = len(category.record)
        names = np.array([f"{place:04}" for place in range(times * n)])
        places = np.arange(times * n) % n
        return Category(names, names, {said: of_records(replies, places) for said, replies in category.replies.items()})

    return ScoreTable(table.scorers, {name: of(category) for name, category in table.categories.items()}, table.design)


def _pair(category: Category, view: str) -> tuple[Replies, Replies]:
    golden, other = (VIEWS[view](category.replies[name]) for name in (GOLDEN, OTHER))
    return golden, other


def _replies(table: ScoreTable) -> list[Replies]:
    return [category.replies[name] for category in table.categories.values() for name in (GOLDEN, OTHER)]


def _population(table: ScoreTable) -> ScoreTable:
    """The golden replies and those of others, of the lineages that have one record in every category, in one order."""
    categories = table.categories.values()
    if any(category.fold is not None for category in categories):
        raise UserError("no shift can be planted where an estimator has folds: take one without adapters")
    if any(name not in category.replies for category in categories for name in (GOLDEN, OTHER)):
        raise UserError("no shift can be planted without the golden replies of others in every category")
    counts = [dict(zip(*np.unique(category.lineage, return_counts=True), strict=True)) for category in categories]
    lineages = sorted(name for name in counts[0] if all(of.get(name) == 1 for of in counts))
    if len(lineages) < FEWEST:
        raise UserError(
            f"no shift can be planted: {len(lineages)} lineages have one record in every category, which needs {FEWEST}"
        )

    def of_population(category: Category) -> Category:
        places = np.array([category.lineage.tolist().index(name) for name in lineages])
        replies = {name: of_records(category.replies[name], places) for name in (GOLDEN, OTHER)}
        return Category(category.record[places], category.lineage[places], replies, horizon=category.horizon)

    taken = {name: of_population(category) for name, category in table.categories.items()}
    return ScoreTable(table.scorers, taken, table.design)
