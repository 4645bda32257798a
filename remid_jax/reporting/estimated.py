"""The headline of estimates that come from a score table alone.

Input is the dictionary of `remid_jax.evaluation.estimating`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remid_jax.reporting.cells import DASH, Cell, Column, Row, Table, cell, contexts, measure, prefix

ROWS = ("emi", "emid", "estimator_shift")


def table(estimates: Mapping[str, Any]) -> Table:
    """Returns a row a shift and a category: EMI, EMID, the golden drop, and how far `mixture` can be trusted."""
    headline = estimates["headline"]
    estimator, unit, scorer = headline["estimator"], headline["unit"], headline["scorer"]
    r = prefix(scorer)

    def cells(section: Mapping[str, Any]) -> list[Cell]:
        scored = section[scorer]
        numbers = [cell(scored[row][estimator][unit]) if row in scored else Cell() for row in ROWS]
        if "golden" not in scored:  # a shift
            return [*numbers, Cell(), Cell()]
        return [*numbers, cell(scored["golden"]["retrieval"]), cell(scored["golden"]["saturated"])]

    columns = [
        Column(f"{r}EMI", "Ihat of the policy's replies minus Ihat of the golden ones"),
        Column(f"{r}EMID", f"{r}EMI of the reference minus {r}EMI here: larger = worse"),
        Column("golden drop", "Ihat of golden replies in the reference minus here"),
        Column("golden retrieved", "share of golden replies whose own context scores highest"),
        Column("saturated", "share of golden replies within 0.1 nat of log n"),
    ]
    rows = [Row(name, cells(section)) for name, section in estimates["categories"].items()]
    rows += [Row(f"{shift} shift, mean", cells(section), "shift") for shift, section in estimates["shifts"].items()]
    notes = [f"{DASH} no headline: {headline['reason']}"] if "reason" in headline else []
    title = f"{measure(estimator, unit)}, contexts: {contexts(estimates)}, {estimates['settings']['level']:.0%} intervals"
    return Table(title, columns, rows, notes=notes)
