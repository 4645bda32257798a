"""Policies side by side, as a table for a terminal and a page of Markdown.

Input is the dictionary that `experiments.policies` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remid_jax.reporting import markdown
from remid_jax.reporting.tables import DAGGER, Cell, Column, Row, Table, cell, measure, plain, prefix

Found = Mapping[str, Any]


def table(found: Found) -> Table:
    """A row a policy: R-EMI on IDTest, R-EMID by shift, and what its replies are like."""
    policies = found["policies"]
    run = [of for of in policies.values() if isinstance(of, Mapping)]
    if not run:
        raise ValueError("no policy has been run")
    head, shifts = run[0]["headline"], list(run[0]["r_emid_by_shift"])
    r = prefix(head["scorer"])
    columns = [
        Column(f"{r}EMI IDTest", "Ihat of the policy's replies minus Ihat of the golden ones"),
        *(Column(f"{r}EMID {shift}", f"{r}EMI on IDTest minus {r}EMI under {shift} shift: larger = worse") for shift in shifts),
        Column("tokens", "of a reply, mean"),
        Column("cut off", "replies truncated at the token limit"),
        Column("steps", "of training"),
    ]

    def row(name: str, of: Any) -> Row:
        if not isinstance(of, Mapping):
            return Row(name, [Cell(of), *(Cell() for _ in columns[1:])])
        numbers = [cell(of["r_emi"]["IDTest"]), *(cell(of["r_emid_by_shift"][shift]) for shift in shifts)]
        said = of["replies"]
        return Row(name, [*numbers, plain(said["tokens"], ".0f"), plain(said["truncated"], ".0%"), plain(of["steps"])])

    title = f"Policies, {measure(head['estimator'], head['unit'])}"
    return Table(title, columns, [row(name, of) for name, of in policies.items()], label="policy")


def page(found: Found) -> str:
    """The table as a page of Markdown."""
    shown = table(found)
    level = found["config"]["evaluate"]["statistics"]["level"]
    lines = [
        "# Policies side by side",
        "",
        f"Written by `{found['command']}`; every number, with its commit and hours, is in the JSON beside it.",
        "",
        f"{shown.title}; {level:.0%} intervals over lineages"
        + (f", {DAGGER} = not validated for so few lineages." if shown.has_unvalidated else "."),
        "",
        *markdown.drawn(shown),
    ]
    return "\n".join([*lines, ""])
