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
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from remid_jax.information import emi
from remid_jax.information.copying import has_sources
from remid_jax.information.intervals import Replicates, difference
from remid_jax.information.measurement import Plan, measure, measure_linear
from remid_jax.information.score_table import NOVEL, Category, ScoreTable

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


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which categories are compared with which: {category: its reference, or None}, and {shift: its categories}."""

    references: Mapping[str, str | None]
    shifts: Mapping[str, Sequence[str]]


Quantities = dict[Place, Replicates]
Measure = Callable[[str, Category, str], emi.Estimates]  # of a category by its name, and of a side, "golden" or "policy"


def is_loss(quantity: str) -> bool:
    """Returns whether a quantity is what a shift costs: larger = worse."""
    return quantity in QUANTITIES.values()


def quantities(tables: Mapping[str, ScoreTable], layout: Layout, plan: Plan) -> dict[str, Quantities]:
    """Returns for every run EMI and EMID by category, shift and overall, with their replicates.

    `tables` have the same records in the same order; the first is the baseline, and `plan` is made from it. A shift's row is
    the unweighted mean of its categories, the overall row that of all categories that have a reference; both only where there
    are such categories, and EMID only where each of them has it. Wants float64.
    """
    baseline = next(iter(tables.values()))
    measures = {
        (emi_of, scorer): _measure(emi_of, scorer, plan)
        for emi_of in (EMI, NOVEL_EMI)
        for scorer in baseline.scorers
        if emi_of == EMI or all(map(has_sources, tables.values()))
    }
    golden = {
        (*key, name): measured(name, category, "golden")
        for key, measured in measures.items()
        for name, category in baseline.categories.items()
    }
    return {run: _of_run(table, measures, golden, layout) for run, table in tables.items()}


def _measure(emi_of: str, scorer: str, plan: Plan) -> Measure:
    def measured(name: str, category: Category, side: str) -> emi.Estimates:
        replies = category.replies[side]
        if emi_of == EMI:
            return measure(name, category, replies, scorer, plan).estimates
        return measure_linear(name, category, replies.part(NOVEL), scorer, plan)

    return measured


def _of_run(
    table: ScoreTable,
    measures: Mapping[tuple[str, str], Measure],
    golden: Mapping[tuple[str, str, str], emi.Estimates],
    layout: Layout,
) -> Quantities:
    result: Quantities = {}
    for (emi_of, scorer), measured in measures.items():
        rows: dict[str, dict[str, emi.Estimates]] = {emi_of: {}, QUANTITIES[emi_of]: {}}
        gained, lost = rows.values()
        for name, category in table.categories.items():
            gained[name] = emi.cross(measured(name, category, "policy"), golden[emi_of, scorer, name])
        for name, reference in layout.references.items():
            if reference is not None and name in gained and reference in gained:
                lost[name] = emi.drop(gained[reference], gained[name])
        for quantity, of_category in rows.items():
            for kind, name, members in _means(layout, list(gained), list(lost)):
                if all(member in of_category for member in members):
                    row = emi.shift_row([of_category[member] for member in members])
                    result |= {Place(kind, name, quantity, scorer, *key): found for key, found in row.items()}
    return result


def _means(layout: Layout, names: Sequence[str], shifted: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """(kind, name, categories whose mean it is) of every row, in the order of tables."""
    of_shifts = {shift: [name for name in members if name in names] for shift, members in layout.shifts.items()}
    rows = [("category", name, [name]) for name in names]
    rows += [("shift", shift, members) for shift, members in of_shifts.items() if members]
    return rows + ([("overall", OVERALL, list(shifted))] if shifted else [])


def differences(run: Quantities, baseline: Quantities, changed: Mapping[str, int], layout: Layout) -> Quantities:
    """Returns run minus baseline, replicate by replicate; `changed` are the lineages of each category with another reply."""
    result = {}
    for place in baseline:
        quantity = difference(run[place], baseline[place])
        fewest = min(changed[name] for name in _took_part(place, layout, changed))
        result[place] = quantity._replace(fewest=min(quantity.fewest, fewest))
    return result


def _took_part(place: Place, layout: Layout, names: Collection[str]) -> set[str]:
    """The categories that a number is made of."""
    shifted = [name for name in names if layout.references.get(name) is not None]
    of_kind = {"category": [place.name], "shift": layout.shifts.get(place.name, ()), "overall": shifted}
    members = {name for name in of_kind[place.kind] if name in names}
    references = {layout.references[name] for name in members} if is_loss(place.quantity) else set()
    return members | {name for name in references if name is not None}
