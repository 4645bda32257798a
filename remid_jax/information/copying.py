"""What replies say back, what they tell beyond that, and how surely they are traced to their contexts.

Of a score table whose replies are parted by source (docs/protocol.md, rule 23), under each scorer of a category:

    "by_source": {"golden" | "policy" | "emi" | "emid": {source or "novel": {formula: {unit: number}}}}

and beside the scorers "copied": {"golden" | "policy": {source: its share of the tokens}}. Of any table (docs/protocol.md,
rules 24 and 25):

    "identified": {"golden" | "policy" | "emi" | "emid": {"whole" | "novel": number}}
    "misplaced_equivalent": {"emi" | "emid": {"whole" | "novel": number}}

"emi" is the policy's minus golden, "emid" what that loses from the reference to here: larger = worse, as R-EMID is.
"misplaced_equivalent" is EMI over the EMI of golden replies of other contexts, so its "emi" is larger = worse; what it grows by
to here is its "emid". A shift has "emi" and "emid" alone, and how often the policy is identified: means over its categories.
Parts are in the units of their whole replies, so that they sum to these; "novel" is `score_table.NOVEL`: an attribution of
information to tokens, no mutual information by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.information import emi
from remid_jax.information.identification import identified, rates_of
from remid_jax.information.intervals import Estimate, Replicates, average, combine, difference, interval, ratio
from remid_jax.information.measurement import LINEAR, Plan, measure_linear, unmeasured
from remid_jax.information.score_table import NOVEL, SOURCES, Category, Replies, ScoreTable

WHOLE = "whole"
PARTS: Mapping[str, Collection[str]] = {**{source: (source,) for source in SOURCES}, "novel": NOVEL}
RATE = ("club", "token_rate")
TRACED = ("identified", "share")
ONE_BLOCK = "identification needs records of two lineages in each fold"
Told = Callable[..., Estimate]  # number(quantity, unit, estimator, reason="")


def has_sources(table: ScoreTable) -> bool:
    """Returns whether every set of replies of a table is parted by source."""
    sets = [replies for category in table.categories.values() for replies in category.replies.values()]
    return all(replies.by_source is not None for replies in sets)


class Copying:
    """The sections of the module docstring, over measurements made once."""

    def __init__(self, table: ScoreTable, plan: Plan, number: Told, level: float):
        self.table, self.plan, self.number, self.level = table, plan, number, level
        self.parted = has_sources(table)
        self.views = (WHOLE, "novel") if self.parted else (WHOLE,)
        self.parts = {
            (scorer, part): _Rows(table, functools.partial(self.part, scorer=scorer, part=part))
            for scorer in table.scorers
            for part in (PARTS if self.parted else ())
        }
        self.traced = {
            (scorer, view): _Rows(table, functools.partial(self.identified, scorer=scorer, view=view))
            for scorer in table.scorers
            for view in self.views
        }
        self.placed: dict[tuple[str, str], dict[str, tuple[Replicates, str]]] = {
            (scorer, view): {name: self.misplaced(name, scorer, view) for name in table.categories}
            for scorer in table.scorers
            for view in self.views
        }

    def replies(self, name: str, side: str) -> Replies | None:
        """A category's replies of one side; `golden_other` is made of the golden ones where the table does not hold it."""
        category = self.table.categories[name]
        if side == "golden_other" and side not in category.replies and category.golden is not None:
            return emi.golden_of_another(category.golden, category.blocks)
        return category.replies.get(side)

    def part(self, name: str, side: str, scorer: str, part: str) -> emi.Estimates:
        replies = self.replies(name, side)
        if replies is None:
            return unmeasured(self.plan, self.table.categories[name].no_golden, LINEAR).estimates
        chosen = replies if part == WHOLE else replies.part(PARTS[part])
        return measure_linear(name, self.table.categories[name], chosen, scorer, self.plan)

    def identified(self, name: str, side: str, scorer: str, view: str) -> emi.Estimates:
        replies = self.replies(name, side)
        if replies is None:
            return {TRACED: self.plan.resampling.constant(np.nan, self.table.categories[name].no_golden)}
        return {TRACED: identification(self.plan, name, self.table.categories[name], replies, scorer, view)}

    def misplaced(self, name: str, scorer: str, view: str) -> tuple[Replicates, str]:
        """EMI(policy) / EMI(golden_other), and why it does not exist (else "")."""
        if self.replies(name, "golden") is None:
            reason = self.table.categories[name].no_golden
            return self.plan.resampling.constant(np.nan, reason), reason
        golden, policy, other = (self.part(name, side, scorer, view)[RATE] for side in ("golden", "policy", "golden_other"))
        lost, of_other = difference(policy, golden), difference(other, golden)
        quotient, bounds = ratio(lost, of_other), interval(of_other, RATE[0], self.level)
        if bounds["low"] is None or bounds["high"] is None:
            return _without_value(quotient), f"no interval of the EMI of golden replies of others: {bounds['reason']}"
        if bounds["low"] <= 0 <= bounds["high"]:
            return _without_value(quotient), "the interval of the EMI of golden replies of others includes 0"
        return quotient, ""

    def copied(self, name: str) -> dict[str, dict[str, Estimate]]:
        """Each source's share of the tokens of golden and of policy replies."""
        return {side: self.shares(name, side, self.replies(name, side)) for side in ("golden", "policy")}

    def shares(self, name: str, side: str, replies: Replies | None) -> dict[str, Estimate]:
        if replies is None:
            nothing = self.plan.resampling.constant(np.nan, self.table.categories[name].no_golden)
            return {source: self.number(nothing, "share", "mean") for source in SOURCES}
        assert replies.by_source is not None
        lineage, tokens = self.table.categories[name].lineage, replies.by_source.tokens.astype(float)
        total = self.plan.of_items(name, lineage, tokens.sum(axis=1))
        return {
            source: self.number(ratio(self.plan.of_items(name, lineage, tokens[:, place]), total), "share", "mean")
            for place, source in enumerate(SOURCES)
        }

    def category(self, scorer: str, name: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if self.parted:
            result["by_source"] = {
                term: {part: self.tree(self.parts[scorer, part].rows[term][name], term) for part in PARTS}
                for term in ("golden", "policy", "emi", "emid")
                if name in self.parts[scorer, "novel"].rows[term]
            }
        result["identified"] = {
            term: {view: self.traced_number(self.traced[scorer, view].rows[term][name][TRACED], term) for view in self.views}
            for term in ("golden", "policy", "emi", "emid")
            if name in self.traced[scorer, WHOLE].rows[term]
        }
        result["misplaced_equivalent"] = {
            "emi": {view: self.placed_number(*self.placed[scorer, view][name]) for view in self.views}
        }
        if name in self.table.references:
            result["misplaced_equivalent"]["emid"] = {
                view: self.placed_number(*self.more(scorer, view, name)) for view in self.views
            }
        return result

    def shift(self, scorer: str, names: Sequence[str]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        terms = ("emi", "emid") if all(name in self.table.references for name in names) else ("emi",)
        if self.parted:
            result["by_source"] = {
                term: {
                    part: self.tree(emi.shift_row([self.parts[scorer, part].rows[term][name] for name in names]), term)
                    for part in PARTS
                }
                for term in terms
            }
        result["identified"] = {
            term: {
                view: self.traced_number(average([self.traced[scorer, view].rows[term][name][TRACED] for name in names]), term)
                for view in self.views
            }
            for term in ("policy", *terms)
        }
        of_terms = {"emi": lambda view, name: self.placed[scorer, view][name], "emid": lambda v, n: self.more(scorer, v, n)}
        result["misplaced_equivalent"] = {
            term: {view: self.placed_number(*_mean([of_terms[term](view, name) for name in names])) for view in self.views}
            for term in terms
        }
        return result

    def control(self, scorer: str, name: str, control: str) -> dict[str, Any]:
        """{"novel": {formula: {unit: EMI}}, "identified", "copied"} of a control policy."""
        replies, category = self.replies(name, control), self.table.categories[name]
        result: dict[str, Any] = {"identified": {}}
        for view in self.views:
            nothing = self.plan.resampling.constant(np.nan, category.no_golden)
            share = nothing if replies is None else identification(self.plan, name, category, replies, scorer, view)
            result["identified"][view] = self.number(share, "share", "identified", ONE_BLOCK)
        if self.parted:
            golden = self.parts[scorer, "novel"].rows["golden"][name]
            result["novel"] = self.tree(emi.cross(self.part(name, control, scorer, "novel"), golden), "emi")
            result["copied"] = self.shares(name, control, replies)
        return result

    def more(self, scorer: str, view: str, name: str) -> tuple[Replicates, str]:
        """By how much `misplaced` grows from the reference to a category."""
        here, reason = self.placed[scorer, view][name]
        there, reason_there = self.placed[scorer, view][self.table.references[name]]
        return difference(here, there), reason or reason_there

    def tree(self, quantities: emi.Estimates, term: str) -> dict[str, dict[str, Estimate]]:
        result: dict[str, dict[str, Estimate]] = {}
        for (formula, unit), quantity in quantities.items():
            result.setdefault(formula, {})[unit] = self.number(quantity, unit, formula, loss=term == "emid")
        return result

    def traced_number(self, quantity: Replicates, term: str) -> Estimate:
        unit = "share" if term in ("golden", "policy") else "points"
        return self.number(quantity, unit, "identified", ONE_BLOCK, loss=term == "emid")

    def placed_number(self, quantity: Replicates, reason: str) -> Estimate:
        return self.number(quantity, "misplaced", "misplaced", reason)


class _Rows:
    """One quantity of golden and policy replies in every category, its EMI and what this loses to its reference."""

    def __init__(self, table: ScoreTable, of: Callable[[str, str], emi.Estimates]):
        self.rows: dict[str, Mapping[str, emi.Estimates]] = {
            side: {name: of(name, side) for name in table.categories} for side in ("golden", "policy")
        }
        golden, policy = self.rows["golden"], self.rows["policy"]
        of_category = {name: emi.cross(policy[name], golden[name]) for name in table.categories}
        lost = {name: emi.drop(of_category[there], of_category[name]) for name, there in table.references.items()}
        self.rows |= {"emi": of_category, "emid": lost}


def identification(plan: Plan, name: str, category: Category, replies: Replies, scorer: str, view: str) -> Replicates:
    """Returns `identified` of a category's replies, of whole ones or of their novel tokens, with its replicates."""
    rates = rates_of(replies, scorer, novel=view != WHOLE)

    def of(chosen: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"": identified(rates[np.ix_(chosen, chosen)], category.origins[:, chosen], weights)}

    return plan.mean(name, category.lineage, of)[""]


def _without_value(quantity: Replicates) -> Replicates:
    return quantity._replace(values=np.full_like(quantity.values, np.nan))


def _mean(parts: Sequence[tuple[Replicates, str]]) -> tuple[Replicates, str]:
    reason = next((reason for _, reason in parts if reason), "")
    return combine(lambda *values: np.mean(values, axis=0), *(quantity for quantity, _ in parts)), reason
