"""What a score table tells of its shifts beyond R-EMID: how far contexts are apart, bounds on self EMID, risk, correlations.

    {"contexts": how many a category,
     "categories": {category: {
         "divergence": `attribution.section`,
         "bounds": {scorer: `bounds.section` and "layered": `attribution.layered_section`}}},
     "correlation": {scorer: {bound: {"pearson": number, "spearman": number, "categories"}}},
     "risk": {scorer: `risk.section`} of the first reference,
     "other_risks": {reference: the same} of further ones, where there are any}

Bounds and risk of a cross-fitted estimator are means over folds (docs/protocol.md, rule 22), each of as many contexts a
category as the smallest fold has; divergences, which no estimator scores, are of all contexts. Where there is none, {"reason"}
stands in its place. Intervals delete one lineage from all categories at once. Everything here is an estimate from samples.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from remid_jax.information.intervals import Estimate, Replicates, Resampling, combine, number
from remid_jax.information.measurement import Plan, drawn
from remid_jax.information.score_table import NO_GOLDEN, Category, ScoreTable
from remid_jax.information.self_information import unavailable
from remid_jax.shifts import attribution, bounds, risk
from remid_jax.shifts.fold_blocks import FEWEST_CONTEXTS, FoldBlock, average_of_blocks

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
        n = min(map(len, everyone.values()))  # divergences are of all contexts: the estimator has no part in them
        kept = np.sort(np.random.default_rng([seed, MOST_CONTEXTS]).permutation(n)[:MOST_CONTEXTS])
        self.chosen = {name: drawn(name, [whole], n, 1, seed)[0].draws[0][kept] for name, whole in everyone.items()}
        self.lineages = {name: category.lineage[self.chosen[name]] for name, category in table.categories.items()}
        self.resampling = plan.resampling.for_pairs(
            self.lineages, table.references or {name: name for name in _references(table)}
        )
        self.references = table.references
        self.contexts = len(kept)
        self.blocks = {name: self._blocks(name, category) for name, category in table.categories.items()}
        self.of_blocks = self._resampling_of_blocks()
        self.pairs = self._pairs()
        self.pairs_of_blocks: dict[str, attribution.Pair] = {}
        self.found: dict[tuple[str, str], dict[str, Replicates]] = {}

    def _blocks(self, name: str, category: Category) -> dict[int, np.ndarray]:
        """The contexts of each fold that bounds are about: as many of each as `Plan.n`, at most `MOST_CONTEXTS`."""
        n = self.plan.n
        kept = np.sort(np.random.default_rng([self.seed, MOST_CONTEXTS]).permutation(n)[:MOST_CONTEXTS])
        draws = [block.draws[0][kept] for block in drawn(name, category.blocks, n, 1, self.seed)]
        return dict(zip(np.unique(category.folds).tolist(), draws, strict=True))

    def _resampling_of_blocks(self) -> Resampling:
        names = {*self.references, *_references(self.table)}
        lineages = {
            f"{name}/{fold}": self.table.categories[name].lineage[chosen]
            for name in names
            for fold, chosen in self.blocks[name].items()
        }
        pairs = {name: name for name in lineages}
        pairs |= {
            f"{name}/{fold}": f"{reference}/{fold}"
            for name, reference in self.references.items()
            for fold in self.blocks[name]
            if fold in self.blocks[reference]
        }
        return self.plan.resampling.for_pairs(lineages, pairs)

    def _pairs(self) -> dict[str, attribution.Pair]:
        return {
            name: self.pair(name, self.chosen[reference], self.chosen[name], self.resampling)
            for name, reference in self.references.items()
            if name in self.features and reference in self.features and self.groups(name) > 1
        }

    @functools.cached_property
    def features(self) -> dict[str, dict[str, np.ndarray]]:
        embedded = {name: category.embeddings for name, category in self.table.categories.items() if category.embeddings}
        return attribution.features_of(embedded, self.table.dials) if embedded else {}

    def pair(self, name: str, theirs: np.ndarray, ours: np.ndarray, resampling: Resampling) -> attribution.Pair:
        """The contexts `theirs` of a category's reference beside its own, `ours`."""
        sides = ((self.references[name], theirs), (name, ours))
        rows = [{factor: values[chosen] for factor, values in self.features[of].items()} for of, chosen in sides]
        lineages = [self.table.categories[of].lineage[chosen] for of, chosen in sides]
        return attribution.compare((rows[0], rows[1]), (lineages[0], lineages[1]), resampling, self.seed)

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
        blocks, of_blocks = self.pair_blocks(name), []
        reference = self.table.categories[self.references[name]]
        for block in blocks:
            lineages = (reference.lineage[block.reference], category.lineage[block.category])
            sides = {replies: self.sides(name, block, of) for replies, of in (("policy", "self"), ("golden", scorer))}
            with np.errstate(invalid="ignore"):  # of two contexts, deleting one leaves no other to mix
                of_block = bounds.bound(sides, lineages, divergence, self.of_blocks, self.plan.devices)
            if isinstance(of_block, str):
                return {"reason": of_block if len(blocks) == 1 else f"fold {block.fold}: {of_block}"}
            of_blocks.append(of_block)
        shares = [block.share for block in blocks]
        averages = average_of_blocks([of_block.values for of_block in of_blocks], shares)
        self.found[scorer, name] = averages
        section = bounds.section(averages, of_blocks, divergence, len(blocks[0].category), self.level)
        if pair is None:
            return section | {"layered": {"reason": self.no_divergence(name)}}
        bounded_pair, g = self.gathered(name, pair, blocks, [of_block.g for of_block in of_blocks])
        return section | {"layered": attribution.layered_section(bounded_pair, g, averages["variance"], self.level)}

    def pair_blocks(self, name: str) -> list[FoldBlock]:
        """The blocks of a bound, each by its share of the records of both categories."""
        reference = self.references[name]
        sides = [self.table.categories[side].folds for side in (reference, name)]
        counts = {fold: sum(int((side == fold).sum()) for side in sides) for fold in self.blocks[name]}
        return [
            FoldBlock(fold, counts[fold] / sum(counts.values()), self.blocks[reference][fold], ours)
            for fold, ours in self.blocks[name].items()
        ]

    def gathered(
        self, name: str, pair: attribution.Pair, blocks: Sequence[FoldBlock], of_blocks: Sequence[np.ndarray]
    ) -> tuple[attribution.Pair, np.ndarray]:
        """The contexts of all blocks as one pair, and g of each [2n], centred in its block: its mixture is the block's own."""
        centred = [g - g.mean() for g in of_blocks]
        sides, values = [], []
        for side in ("reference", "category"):
            contexts = np.concatenate([getattr(block, side) for block in blocks])
            halves = [np.split(g, 2)[side == "category"] for g in centred]
            order = np.argsort(contexts)
            sides.append(contexts[order])
            values.append(np.concatenate(halves)[order])
        names = (self.references[name], name)
        chosen = [self.chosen[of] for of in names]
        if not all(np.array_equal(contexts, whole) for contexts, whole in zip(sides, chosen, strict=True)):
            if name not in self.pairs_of_blocks:
                lineages = {of: self.table.categories[of].lineage[side] for of, side in zip(names, sides, strict=True)}
                resampling = self.plan.resampling.for_pairs(lineages, {name: names[0]})
                self.pairs_of_blocks[name] = self.pair(name, sides[0], sides[1], resampling)
            pair = self.pairs_of_blocks[name]
        return pair, np.concatenate(values)

    def sides(self, name: str, block: FoldBlock, of: str) -> tuple[bounds.Side, bounds.Side]:
        """The replies of the reference and of the category; `of` is "self" or the scorer of golden replies."""
        reference, category = self.references[name], self.table.categories[name]
        assert category.cross is not None
        here, there = block.category, block.reference
        sides = []
        for own, other, mine, others, in_p in (
            (self.table.categories[reference], category.cross.of_id[of], there, here, True),
            (category, category.cross.in_id[of], here, there, False),
        ):
            if of == "self":
                assert own.self_scores is not None
                assert own.self_scores.loglik is not None
                scored, events = own.self_scores.loglik, own.sampled_events[mine]
            else:
                scored, other = own.replies["golden"].loglik[of][..., None], other[..., None]
                events = np.ones((len(mine), 1), bool)
            sides.append(bounds.side_of(scored[np.ix_(mine, mine)], other[np.ix_(others, mine)], events, in_p))
        return sides[0], sides[1]

    def correlation(self, scorer: str) -> dict[str, object]:
        """Of each bound with the measured self EMID, over the categories that have both, but for those that dials made."""
        names = [name for name in self.references if (scorer, name) in self.found and name not in self.table.dials]
        result: dict[str, object] = {}
        for bound in BOUNDS:
            here = [name for name in names if bound in self.found[scorer, name]]
            if len(here) < 3:
                result[bound] = {"reason": f"{len(here)} categories have both, and a correlation needs 3"}
                continue
            parts = [self.found[scorer, name][quantity] for quantity in (bound, "emid") for name in here]
            result[bound] = {
                kind: self._told(combine(lambda *values, rank=rank: _correlation(values, rank), *parts))
                for kind, rank in (("pearson", False), ("spearman", True))
            } | {"categories": len(here)}
        return result

    def _told(self, quantity: Replicates) -> Estimate:
        made = number(quantity, unit="correlation", estimator="correlation", n=self.contexts, level=self.level)
        if (bounds := made["interval"]) is not None and bounds["low"] is not None and bounds["high"] is not None:
            made["interval"] = {**bounds, "low": max(bounds["low"], -1.0), "high": min(bounds["high"], 1.0)}
        return made

    def risk(self, reference: str) -> dict[str, object]:
        """What the contexts of a reference alone predict."""
        category = self.table.categories[reference]
        if category.golden is None:
            return {"reason": f"{reference}: {NO_GOLDEN}"}
        scores = category.self_scores
        if scores is None or scores.loglik is None:
            reason = unavailable(None if scores is None else scores.truncated, category.horizon)
            return {"reason": f"{reference}: {reason or 'its samples were not scored'}"}
        of_folds = self.blocks[reference]
        if len(of_folds) > 1 and self.plan.n < FEWEST_CONTEXTS:
            return {
                "reason": f"{reference}: {self.plan.n} contexts in the smallest fold of the cross-fitted estimator: "
                f"risk needs {FEWEST_CONTEXTS}"
            }
        blocks = [((category.folds == fold).mean(), chosen) for fold, chosen in of_folds.items()]
        return {
            scorer: risk.section(category, scorer, blocks, self.of_blocks, self.plan.devices, self.level)
            for scorer in self.table.scorers
        }


def _correlation(values: tuple[np.ndarray, ...], rank: bool) -> np.ndarray:
    """Replicate by replicate, of the first half of the quantities with the second."""
    x, y = np.array(values).reshape(2, len(values) // 2, -1)
    if rank:
        x, y = _ranks(x), _ranks(y)
    x, y = x - x.mean(0), y - y.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of values [n, R] along their first axis, the mean of them where values are equal; NaN beside a NaN.

    As `scipy.stats.rankdata`, which takes half a second to import.
    """
    below, equal = values[:, None] > values, values[:, None] == values
    ranks = below.sum(axis=1) + (equal.sum(axis=1) + 1) / 2
    return np.where(np.isnan(values).any(axis=0), np.nan, ranks)
