"""EMI and EMID of several runs on the same records, and their differences to a baseline (docs/protocol.md, rule 27).

Both are taken of whole replies and, where all tables part replies by source, of their novel tokens alone (docs/protocol.md,
rule 23).

The golden replies and their scores are those of the baseline, so in a difference of EMI the golden term cancels: what is left
is Ihat(yhat) of the run minus Ihat(yhat) of the baseline. A lineage is deleted in both runs and all categories at once: the
jackknife is that *of the difference*, which keeps the covariance that common contexts make.

Where few replies changed, it sees too little of what may change. Its 95% intervals of EMI by `club` held the truth in 95-96% of
1,000 cases on each of three worlds, at 16 and 32 lineages, where both policies drew their replies anew; in 80-93% where common
random numbers left most replies as they were (`validation.comparison_study`). So an interval counts as validated by the
lineages whose replies changed, in the category where they are fewest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from remid_jax.information import emi
from remid_jax.information.intervals import Replicates, difference
from remid_jax.information.measurement import ESTIMATORS, LINEAR, Plan, measure, measure_linear
from remid_jax.information.score_table import NOVEL, BySource, Category, Replies, ScoreTable

EMI, EMID = "emi", "emid"
NOVEL_EMI, NOVEL_EMID = "novel_emi", "novel_emid"
QUANTITIES = {EMI: EMID, NOVEL_EMI: NOVEL_EMID}  # of whole replies and of their novel part, each with what a shift costs of it
OVERALL = "all shifted categories"


class Place(NamedTuple):
    """Which number it is."""

    kind: str  # "category", "shift" or "overall"
    name: str  # of the category or shift; OVERALL
    quantity: str  # EMI or EMID, NOVEL_EMI or NOVEL_EMID
    scorer: str
    estimator: str
    unit: str


class Headline(NamedTuple):
    """One conditioning, formula and unit."""

    scorer: str
    estimator: str
    unit: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which categories are compared with which: {category: its reference, or None}, and {shift: its categories}."""

    references: Mapping[str, str | None]
    shifts: Mapping[str, Sequence[str]]


Quantities = dict[Place, Replicates]
"""The EMI and EMID of several runs: replicates have the runs' axis in front."""


class Changed(NamedTuple):
    """Differences to the baseline with the runs' axis in front; `fewest` [runs] counts lineages with another reply."""

    by: Replicates
    fewest: Int[np.ndarray, " runs"]


def is_loss(quantity: str) -> bool:
    """Returns whether a quantity is what a shift costs: larger = worse."""
    return quantity in QUANTITIES.values()


class Measuring:
    """How runs are measured: EMI and EMID by category, shift and overall, with their replicates.

    All runs have the records of `baseline` in the same order; `plan` is made from it, and the golden replies and their scores
    are its. The novel part is measured where `has_sources`; and of all formulas, units and conditionings the `headline` alone,
    where it is given: then tables of several runs are measured at once, and where the formula is linear in a small part of the
    time. Wants float64.
    """

    def __init__(
        self, baseline: ScoreTable, layout: Layout, plan: Plan, *, has_sources: bool, headline: Headline | None = None
    ):
        self._layout, self._plan, self._headline = layout, plan, headline
        novel = has_sources and (headline is None or headline.estimator in LINEAR)
        scorers = baseline.scorers if headline is None else (headline.scorer,)
        self._measured = [(of, scorer) for of in ((EMI, NOVEL_EMI) if novel else (EMI,)) for scorer in scorers]
        self._golden = {
            (*key, name): self._of_run(*key, name, category, category.replies["golden"])
            for key in self._measured
            for name, category in baseline.categories.items()
        }

    def quantities(self, tables: Sequence[ScoreTable]) -> Quantities:
        """Returns the EMI and EMID of runs.

        A shift's row is the unweighted mean of its categories, the overall row that of all categories that have a reference;
        both only where there are such categories, and EMID only where each of them has it.
        """
        result: Quantities = {}
        for emi_of, scorer in self._measured:
            rows: dict[str, dict[str, emi.Estimates]] = {emi_of: {}, QUANTITIES[emi_of]: {}}
            gained, lost = rows.values()
            for name in tables[0].categories:
                of_policy = self._of_runs(emi_of, scorer, name, [table.categories[name] for table in tables])
                gained[name] = emi.cross(of_policy, self._golden[emi_of, scorer, name])
            for name, reference in self._layout.references.items():
                if reference is not None and name in gained and reference in gained:
                    lost[name] = emi.drop(gained[reference], gained[name])
            for quantity, of_category in rows.items():
                for kind, name, members in _means(self._layout, list(gained), list(lost)):
                    if all(member in of_category for member in members):
                        row = emi.shift_row([of_category[member] for member in members])
                        result |= {Place(kind, name, quantity, scorer, *key): found for key, found in row.items()}
        return result

    def _of_runs(self, emi_of: str, scorer: str, name: str, categories: Sequence[Category]) -> emi.Estimates:
        """The estimates of all runs' policy replies."""
        replies = [category.replies["policy"] for category in categories]
        if self._headline is not None and self._headline.estimator in LINEAR:
            return self._of_run(emi_of, scorer, name, categories[0], _at_once(replies, scorer, emi_of != EMI))
        return stacked([self._of_run(emi_of, scorer, name, *of) for of in zip(categories, replies, strict=True)])

    def _of_run(self, emi_of: str, scorer: str, name: str, category: Category, replies: Replies) -> emi.Estimates:
        part = replies
        formulas: tuple[str, ...] = ESTIMATORS if self._headline is None else (self._headline.estimator,)
        if emi_of == NOVEL_EMI:
            part, formulas = replies.part(NOVEL), LINEAR
        if set(formulas) <= set(LINEAR):
            found = measure_linear(name, category, part, scorer, self._plan)
        else:
            found = measure(name, category, part, scorer, self._plan, formulas).estimates
        return found if self._headline is None else {self._headline[1:]: found[self._headline[1:]]}


def _at_once(replies: Sequence[Replies], scorer: str, by_source: bool) -> Replies:
    """The same replies with the runs' axis in front, of one scorer."""
    tokens, chars = (np.stack(of) for of in zip(*((of.tokens, of.chars) for of in replies), strict=True))
    loglik = {scorer: np.stack([of.loglik[scorer] for of in replies])}
    marginal = {scorer: np.stack([of.marginal[scorer] for of in replies])}
    if not by_source:
        return Replies(tokens, chars, loglik, marginal)
    parts = [of.by_source for of in replies if of.by_source is not None]
    sources = BySource(
        np.stack([of.tokens for of in parts]),
        {scorer: np.stack([of.loglik[scorer] for of in parts])},
        {scorer: np.stack([of.marginal[scorer] for of in parts])},
    )
    return Replies(tokens, chars, loglik, marginal, sources)


def stacked(runs: Sequence[emi.Estimates]) -> emi.Estimates:
    """Returns the quantities of several runs with the runs' axis in front."""
    return {key: of._replace(values=np.stack([run[key].values for run in runs])) for key, of in runs[0].items()}


def joined(parts: Sequence[Quantities]) -> Quantities:
    """Returns the quantities of the runs of all parts."""
    return {place: of._replace(values=np.concatenate([part[place].values for part in parts])) for place, of in parts[0].items()}


def of_run(quantities: Quantities, number: int) -> Quantities:
    """Returns the quantities of one run, without the runs' axis."""
    return {place: quantity._replace(values=quantity.values[number]) for place, quantity in quantities.items()}


def _means(layout: Layout, names: Sequence[str], shifted: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """(kind, name, categories whose mean it is) of every row, in the order of tables."""
    of_shifts = {shift: [name for name in members if name in names] for shift, members in layout.shifts.items()}
    rows = [("category", name, [name]) for name in names]
    rows += [("shift", shift, members) for shift, members in of_shifts.items() if members]
    return rows + ([("overall", OVERALL, list(shifted))] if shifted else [])


def differences(
    quantities: Quantities, changed: Mapping[str, Int[np.ndarray, " runs"]], layout: Layout
) -> dict[Place, Changed]:
    """Returns every run but the first minus the first, the baseline, replicate by replicate.

    `changed` are the lineages of each category with another reply, of each run but the baseline.
    """
    result = {}
    for place, quantity in quantities.items():
        runs, baseline = (quantity._replace(values=quantity.values[of]) for of in (slice(1, None), 0))
        fewest = np.min([changed[name] for name in _took_part(place, layout, changed)], axis=0)
        by = difference(runs, baseline)._replace(in_folds=0)  # which counts lineages, whether their replies changed or not
        result[place] = Changed(by, np.minimum(fewest, by.fewest))
    return result


def _took_part(place: Place, layout: Layout, names: Collection[str]) -> set[str]:
    """The categories that a number is made of."""
    shifted = [name for name in names if layout.references.get(name) is not None]
    of_kind = {"category": [place.name], "shift": layout.shifts.get(place.name, ()), "overall": shifted}
    members = {name for name in of_kind[place.kind] if name in names}
    references = {layout.references[name] for name in members} if is_loss(place.quantity) else set()
    return members | {name for name in references if name is not None}
