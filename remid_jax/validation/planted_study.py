"""Whether R-EMID covers a loss that was planted in one shift, and the verdict names that shift (docs/doses.md).

A policy is golden everywhere but in the categories of one shift, where each record is given the golden reply of another with a
known probability, the share. `club` is linear in what each record is told, so its loss is that share of the loss of a policy
that tells all of them so: the truth, over a population of lineages that is the table's own. Each draw takes as many lineages
from it, with replacement, and misplaces records at random. A lineage that is drawn twice stands for two that are alike: what a
reply is worth in the context of its double is not known, so there it takes its mean over the other contexts, which leaves the
expectation of `club` what it is.

Under the other shifts the policy is golden, so its R-EMID is exactly 0 with an interval of no width: no verdict names them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from remid_jax.errors import UserError
from remid_jax.information import emi
from remid_jax.information.exchanges import exchanged, of_records
from remid_jax.information.intervals import Estimate, difference, number
from remid_jax.information.measurement import Plan, make_plan, measure_linear
from remid_jax.information.score_table import NOVEL, Category, Replies, ScoreTable
from remid_jax.information.verdict import LOSS, finding
from remid_jax.parallel import Devices

RATE = ("club", "token_rate")
SHARES = (0.25, 0.5)  # of the records of a shift
FEWEST = 8  # lineages to draw from
GOLDEN, OTHER = "golden", "golden_other"
VIEWS: Mapping[str, Callable[[Replies], Replies]] = {
    "whole": lambda replies: replies,
    "novel": lambda replies: replies.part(NOVEL),
}
Report = Callable[[int, int], None]


def study(
    table: ScoreTable, shares: Sequence[float], draws: int, level: float, seed: int, report: Report
) -> list[dict[str, Any]]:
    """Returns a row for each shift, share and view of replies:

        {"shift", "share", "view", "lineages", "draws", "planted", "mean", "covered", "named"}

    `planted` is the true R-EMID, nats a token, and `mean` its mean estimate; `covered` and `named` are shares of the draws.

    Raises:
      UserError: the table has folds or lacks `golden_other`, or fewer than 8 lineages have one record in every category.
    """
    table = _population(table)
    shifts = {shift: names for shift, names in table.shifts.items() if all(name in table.references for name in names)}
    cells = [(shift, share) for shift in shifts for share in shares]
    views = list(VIEWS) if all(of.by_source is not None for of in _replies(table)) else ["whole"]
    rows, done = [], 0
    with jax.enable_x64(True):
        plan = make_plan(table, Devices(local=True), subsamples=1, pairs=1, bootstrap=0, seed=seed)
        for place, (shift, share) in enumerate(cells):
            for view in views:
                pairs = {name: _pair(table.categories[name], view) for name in shifts[shift]}
                everybody = [_loss(table, name, *pair, plan) for name, pair in pairs.items()]
                planted = share * float(emi.shift_row(everybody)[RATE].values[0])
                found = []
                for draw in range(draws):
                    rng = np.random.default_rng([seed, place, draw])
                    chosen = rng.integers(plan.n, size=plan.n)
                    losses = []
                    for name, (golden, other) in pairs.items():
                        told, misplaced = drawn(golden, chosen), rng.random(plan.n) < share
                        losses.append(_loss(table, name, told, exchanged(told, drawn(other, chosen), misplaced), plan))
                    made = number(emi.shift_row(losses)[RATE], unit=RATE[1], estimator=RATE[0], n=plan.n, level=level)
                    found.append((made["value"], covers(made, planted), finding(made) == LOSS))
                    done += 1
                    report(done, len(cells) * len(views) * draws)
                mean, covered, named = np.array(found, float).mean(axis=0).tolist()
                of_cell = {"shift": shift, "share": share, "view": view, "lineages": plan.n, "draws": draws}
                rows.append(of_cell | {"planted": planted, "mean": mean, "covered": covered, "named": named})
    return rows


def drawn(replies: Replies, chosen: Int[np.ndarray, " n"]) -> Replies:
    """Returns the replies of the chosen records, doubles as said above."""
    taken, apart = of_records(replies, chosen), chosen[:, None] != chosen
    doubles = ~apart & ~np.eye(len(chosen), dtype=bool)

    def filled(loglik: np.ndarray) -> np.ndarray:
        return np.where(doubles, (loglik * apart).sum(axis=0) / apart.sum(axis=0), loglik)

    return dataclasses.replace(taken, loglik={scorer: filled(of) for scorer, of in taken.loglik.items()})


def covers(made: Estimate, truth: float) -> bool:
    """Returns whether the interval of a number holds the truth."""
    bounds = made["interval"]
    assert bounds is not None
    assert bounds["low"] is not None
    assert bounds["high"] is not None
    return bounds["low"] <= truth <= bounds["high"]


def _pair(category: Category, view: str) -> tuple[Replies, Replies]:
    golden, other = (VIEWS[view](category.replies[name]) for name in (GOLDEN, OTHER))
    return golden, other


def _loss(table: ScoreTable, name: str, golden: Replies, policy: Replies, plan: Plan) -> emi.Estimates:
    """R-EMID of a policy that is golden in the reference, where its EMI is exactly 0."""
    scorer, category = table.scorers[0], table.categories[name]
    of_policy, of_golden = (measure_linear(name, category, of, scorer, plan) for of in (policy, golden))
    return {RATE: difference(of_golden[RATE], of_policy[RATE])}


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
