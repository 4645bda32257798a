"""The headline of estimates that come from a score table alone.

Input is the dictionary of `remid_jax.evaluation.estimating`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remid_jax.information.verdict import emi_of
from remid_jax.reporting.cells import DASH, Cell, Column, Row, Table, cell, contexts, measure, prefix
from remid_jax.reporting.tables import RATE_WORDS

ROWS = ("emi", "emid", "estimator_shift")


def table(estimates: Mapping[str, Any]) -> Table:
    """Returns a row a shift and a category: EMI, EMID, its novel part where that is known, how often replies are traced to
    their contexts, the golden drop, and how far `mixture` can be trusted."""
    headline = estimates["headline"]
    estimator, unit, scorer = headline["estimator"], headline["unit"], headline["scorer"]
    r, parted = prefix(scorer), all("copied" in category for category in estimates["categories"].values())
    view = "novel" if parted else "whole"

    def told(scored: Mapping[str, Any]) -> list[Cell]:
        novel = [cell(emi_of(scored, "emid", view)) if "emid" in scored["by_source"] else Cell()] if parted else []
        return [*novel, cell(scored["identified"]["policy"][view])]

    def cells(section: Mapping[str, Any]) -> list[Cell]:
        scored = section[scorer]
        numbers = [cell(scored[row][estimator][unit]) if row in scored else Cell() for row in ROWS] + told(scored)
        if "golden" not in scored:  # a shift
            return [*numbers, Cell(), Cell()]
        return [*numbers, cell(scored["golden"]["retrieval"]), cell(scored["golden"]["saturated"])]

    columns = [
        Column(f"{r}EMI", "Ihat of the policy's replies minus Ihat of the golden ones"),
        Column(f"{r}EMID", f"{r}EMI of the reference minus {r}EMI here: larger = worse"),
        Column("golden drop", "Ihat of golden replies in the reference minus here"),
        *([Column(f"novel {r}EMID", f"of what replies tell beyond saying their context back, {RATE_WORDS}")] if parted else []),
        Column("identified", "how often replies, or their novel tokens, fit their own context better than another"),
        Column("golden retrieved", "share of golden replies whose own context scores highest"),
        Column("saturated", "share of golden replies within 0.1 nat of log n"),
    ]
    rows = [Row(name, cells(section)) for name, section in estimates["categories"].items()]
    rows += [Row(f"{shift} shift, mean", cells(section), "shift") for shift, section in estimates["shifts"].items()]
    notes = [f"{DASH} no headline: {headline['reason']}"] if "reason" in headline else []
    title = f"{measure(estimator, unit)}, contexts: {contexts(estimates)}, {estimates['settings']['level']:.0%} intervals"
    return Table(title, columns, rows, notes=notes)
