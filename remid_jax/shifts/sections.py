"""What a score table tells of its shifts beyond R-EMID: how far contexts are apart, bounds on self EMID, risk, correlations.

    {"contexts": how many a category,
     "categories": {category: {
         "divergence": `attribution.section`,
         "bounds": {scorer: `bounds.section` and "layered": `attribution.layered_section`}}},
     "correlation": {scorer: {bound: {"pearson": number, "spearman": number, "categories"}}},
     "risk": {scorer: `risk.section`} of the first reference,
     "other_risks": {reference: the same} of further ones, where there are any}

Where there is none, {"reason"} stands in its place. Intervals delete one lineage from all categories at once. Everything here
is an estimate from samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from remid_jax.information.intervals import Estimate, Replicates, combine, number
from remid_jax.information.measurement import Plan, drawn
from remid_jax.information.score_table import NO_GOLDEN, Category, ScoreTable
from remid_jax.shifts import attribution, bounds, risk

MOST_CONTEXTS = 64  # a category; blocks and nulls grow with its square and its cube
BOUNDS = ("plug_in", "unknown_shift")


def shift_sections(table: ScoreTable, plan: Plan, seed: int, level: float) -> dict[str, Any]:
    """The dictionary of the module docstring; empty where no category is or has a reference."""
    if not _references(table):
        return {}
    return _Shifts(table, plan, seed, level).sections()


def _references(table: ScoreTable) -> list[str]:
    """The categories that others are compared with, else the first that is not shifted itself."""
    alone = [name for name, design in table.design.items() if design.shift is None and design.reference is None]
    return list(dict.fromkeys(table.references.values())) or alone[:1]


class _Shifts:
    def __init__(self, table: ScoreTable, plan: Plan, seed: int, level: float):
        self.table, self.plan, self.seed, self.level = table, plan, seed, level
        everyone = {name: np.arange(len(category.record)) for name, category in table.categories.items()}
        n = min(map(len, everyone.values()))  # contexts are compared across folds: the estimator has no part in that
        kept = np.sort(np.random.default_rng([seed, MOST_CONTEXTS]).permutation(n)[:MOST_CONTEXTS])
        self.chosen = {name: drawn(name, [whole], n, 1, seed)[0].draws[0][kept] for name, whole in everyone.items()}
        self.lineages = {name: category.lineage[self.chosen[name]] for name, category in table.categories.items()}
        self.resampling = plan.resampling.for_pairs(
            self.lineages, table.references or {name: name for name in _references(table)}
        )
        self.references = table.references
        self.contexts = len(kept)
        self.pairs = self._pairs()
        self.found: dict[tuple[str, str], bounds.Bounded] = {}

    def _pairs(self) -> dict[str, attribution.Pair]:
        embedded = {name: category.embeddings for name, category in self.table.categories.items() if category.embeddings}
        if not embedded:
            return {}
        features = attribution.features_of(embedded)
        rows = {name: {factor: values[self.chosen[name]] for factor, values in of.items()} for name, of in features.items()}
        return {
            name: attribution.compare(
                (rows[of], rows[name]), (self.lineages[of], self.lineages[name]), self.resampling, self.seed
            )
            for name, of in self.references.items()
            if name in rows and of in rows and self.groups(name) > 1
        }

    def groups(self, name: str) -> int:
        """How many groups without a common cluster the contexts of a category and its reference form."""
        lineages = np.concatenate([self.lineages[name], self.lineages[self.references[name]]])
        return len({self.resampling.components[lineage] for lineage in lineages.tolist()})

    def no_divergence(self, name: str) -> str:
        if self.groups(name) > 1 or not self.table.categories[name].embeddings:
            return "the texts of the contexts were not embedded"
        return "clusters link all contexts, so there is nothing to compare them with that is unrelated"

    def sections(self) -> dict[str, object]:
        categories = {name: self.category(name, self.table.categories[name]) for name in self.references}
        first, *others = _references(self.table)
        more = {"other_risks": {name: self.risk(name) for name in others}} if others else {}
        return {
            "contexts": self.contexts,
            "categories": categories,
            "correlation": {scorer: self.correlation(scorer) for scorer in self.table.scorers},
            "risk": self.risk(first),
            **more,
        }

    def category(self, name: str, category: Category) -> dict[str, object]:
        found: dict[str, object] = {"divergence": None, "bounds": None}
        if name in self.pairs:
            found["divergence"] = attribution.section(self.pairs[name], self.level)
        else:
            found["divergence"] = {"reason": self.no_divergence(name)}
        if (
            reason := bounds.missing(self.references[name], self.table.categories[self.references[name]], category)
        ) is not None:
            return found | {"bounds": {"reason": reason}}
        return found | {"bounds": {scorer: self.bounded(name, category, scorer) for scorer in self.table.scorers}}

    def bounded(self, name: str, category: Category, scorer: str) -> dict[str, object]:
        pair = self.pairs.get(name)
        divergence = pair.divergence() if pair else None
        lineages = (self.lineages[self.references[name]], self.lineages[name])
        sides = {"policy": self.sides(name, category, "self"), "golden": self.sides(name, category, scorer)}
        of = bounds.bound(sides, lineages, divergence, self.resampling, self.plan.devices)
        if isinstance(of, str):
            return {"reason": of}
        self.found[scorer, name] = of
        section = bounds.section(of, divergence, len(self.chosen[name]), self.level)
        if pair is None:
            return section | {"layered": {"reason": self.no_divergence(name)}}
        return section | {"layered": attribution.layered_section(pair, of.g, of.values["variance"], self.level)}

    def sides(self, name: str, category: Category, of: str) -> tuple[bounds.Side, bounds.Side]:
        """The replies of the reference and of the category; `of` is "self" or the scorer of golden replies."""
        assert category.cross is not None
        reference = self.references[name]
        here, there = self.chosen[name], self.chosen[reference]
        sides = []
        for own, other, mine, others, in_p in (
            (self.table.categories[reference], category.cross.of_id[of], there, here, True),
            (category, category.cross.in_id[of], here, there, False),
        ):
            if of == "self":
                assert own.self_scores is not None
                assert own.self_scores.loglik is not None
                block, finished = own.self_scores.loglik, ~own.self_scores.truncated[mine]
            else:
                block, other = own.replies["golden"].loglik[of][..., None], other[..., None]
                finished = np.ones((len(mine), 1), bool)
            sides.append(bounds.side_of(block[np.ix_(mine, mine)], other[np.ix_(others, mine)], finished, in_p))
        return sides[0], sides[1]

    def correlation(self, scorer: str) -> dict[str, object]:
        """Of each bound with the measured self EMID, over the categories that have both."""
        names = [name for name in self.references if (scorer, name) in self.found]
        result: dict[str, object] = {}
        for bound in BOUNDS:
            here = [name for name in names if bound in self.found[scorer, name].values]
            if len(here) < 3:
                result[bound] = {"reason": f"{len(here)} categories have both, and a correlation needs 3"}
                continue
            parts = [self.found[scorer, name].values[quantity] for quantity in (bound, "emid") for name in here]
            result[bound] = {
                kind: self._told(combine(lambda *values, rank=rank: _correlation(values, rank), *parts))
                for kind, rank in (("pearson", False), ("spearman", True))
            } | {"categories": len(here)}
        return result

    def _told(self, quantity: Replicates) -> Estimate:
        return number(quantity, unit="correlation", estimator="correlation", n=self.contexts, level=self.level)

    def risk(self, reference: str) -> dict[str, object]:
        """What the contexts of a reference alone predict."""
        category = self.table.categories[reference]
        if (reason := bounds.blocked(category)) is not None:
            return {"reason": f"{reference}: {reason}"}
        if category.golden is None:
            return {"reason": f"{reference}: {NO_GOLDEN}"}
        scores = category.self_scores
        if scores is None or scores.loglik is None:
            reason = bounds.unavailable(None if scores is None else scores.truncated)
            return {"reason": f"{reference}: {reason or 'its samples were not scored'}"}
        chosen = self.chosen[reference]
        return {
            scorer: risk.section(category, scorer, chosen, self.resampling, self.plan.devices, self.level)
            for scorer in self.table.scorers
        }


def _correlation(values: tuple[np.ndarray, ...], rank: bool) -> np.ndarray:
    """Replicate by replicate, of the first half of the quantities with the second."""
    x, y = np.array(values).reshape(2, len(values) // 2, -1)
    if rank:
        from scipy.stats import rankdata  # here, because it takes a second of every script's start

        x, y = rankdata(x, axis=0), rankdata(y, axis=0)
    x, y = x - x.mean(0), y - y.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))
