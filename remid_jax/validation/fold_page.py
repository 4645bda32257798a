"""The page's section on bounds by fold blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remid_jax.reporting.markdown import paragraph, plain_table, written


def fold_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields the section of `fold_study`: exact bounds of worlds in folds, and coverage of bounds from tables."""
    worlds, coverage = found["worlds"], found["coverage"]
    yield "### Bounds by fold blocks"
    yield ""
    yield from paragraph(
        "Of a cross-fitted estimator bounds are taken within each fold (docs/protocol.md, rule 22; "
        "`remid_jax/validation/fold_study.py`). Random worlds, their contexts parted in two folds: "
        f"{sum(of['worlds'] for of in worlds.values()):,}, in which the folds' mean of `information` is below the mean of "
        f"their EMID {sum(of['information'] for of in worlds.values())} times, of `unknown_shift` "
        f"{sum(of['unknown_shift'] for of in worlds.values())} times. Coverage of nominal 95% intervals of self EMID and of "
        "two bounds from drawn tables, n contexts a category in two folds, for what the estimator is on average; half as many "
        "replications. In brackets the share of tables without a bound, where there are any."
    )
    sizes = sorted({row["n"] for rows in coverage.values() for row in rows})

    def cell(row: Mapping[str, Any]) -> str:
        return written(row["coverage"]) + (f" ({row['refused']:.0%})" if row["refused"] else "")

    lines = []
    for name, rows in coverage.items():
        for quantity in dict.fromkeys(row["quantity"] for row in rows):
            of_sizes = {row["n"]: cell(row) for row in rows if row["quantity"] == quantity}
            lines.append([name, quantity, *(of_sizes[n] for n in sizes)])
    yield from plain_table(["world", "quantity", *(f"n = {n}" for n in sizes)], lines)
    yield from paragraph("The product marks intervals of bounds as unvalidated at every n.")
