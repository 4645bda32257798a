"""The arms of CoRL side by side, as tables for a terminal and a page of Markdown.

Input is the dictionary that `experiments.ablation` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.reporting import markdown
from remid_jax.reporting.tables import DAGGER, DASH, Cell, Column, Row, Table, cell, plain

Found = Mapping[str, Any]
Seeds = Mapping[str, Mapping[str, Any]]  # what was found of an arm, by seed

COST = (Column("tokens", "trained on, mean"), Column("seeds"))


def world(found: Found) -> Table:
    """A row an arm, the least error first: how far its estimates are from the truth; what it named, and what it cost."""
    arms, reference = found["world"]["arms"], found["config"]["reference"]
    columns = [
        Column("error of R-EMID", "root mean square over three policies and three shifts, nats a reply"),
        Column(f"minus {reference}", "of the same seed"),
        Column("error of Ihat", "of golden replies in distribution, estimate minus truth, nats a reply"),
        Column("golden log-likelihood", "minus its maximum, nats a reply"),
        Column("feature named", "how often greedy reasoning names the true feature"),
        *COST,
    ]

    def cells(arm: str, seeds: Seeds) -> list[Cell]:
        beside = _run(arms.get(reference, {}))
        differences = [of["r_emid_rmse"] - beside[seed]["r_emid_rmse"] for seed, of in seeds.items() if seed in beside]

        def over_seeds(name: str, form: str) -> Cell:
            return _ranged([of[name] for of in seeds.values() if name in of], form)

        return [
            over_seeds("r_emid_rmse", ".3f"),
            _ranged(differences if arm != reference else [], "+.3f"),
            over_seeds("golden_information_error", "+.2f"),
            over_seeds("golden_log_likelihood_gap", "+.2f"),
            over_seeds("features_named", ".0%"),
        ]

    notes = [f"The error of always saying 0 is {_rmse_of_zero(found['world']['truth']):.3f}."]
    rows = sorted(_rows(arms, columns, cells), key=lambda row: np.inf if row.cells[0].value is None else row.cells[0].value)
    return Table("Arms on the world where the truth is known", columns, rows, "arm", notes)


def benchmark(found: Found) -> Table:
    """A row an arm: golden replies that its pairs have not seen, by shift, and what its estimator says of a policy."""
    arms, reference = found["arms"], found["config"]["reference"]
    gains = {arm: of for arm, of in found["golden_log_likelihood_minus_reference"].items() if isinstance(of, Mapping)}
    groups = list(dict.fromkeys(name for of in gains.values() for name in of if name != "seeds"))
    columns = [
        Column("golden log-likelihood", "of replies that a pair has not seen, nats a token"),
        Column("reasoning's gain", "the same minus that without reasoning"),
        *(Column(f"minus {reference}: {name}") for name in groups),
        Column("Ihat(golden) IDTest", "nats a token"),
        Column("R-EMI IDTest", "of the fixed policy, nats a token"),
        *COST,
    ]

    def cells(arm: str, seeds: Seeds) -> list[Cell]:
        def over_seeds(value: Callable[[Mapping[str, Any]], float | None], form: str = "+.3f") -> Cell:
            return _ranged([of for of in map(value, seeds.values()) if of is not None], form)

        return [
            over_seeds(lambda of: of["golden_log_likelihood"]),
            over_seeds(lambda of: of["controls"]["own"] - of["controls"]["empty"] if of["reasons"] else None),
            *(cell(gains[arm][name]) if name in gains.get(arm, {}) else Cell(DASH) for name in groups),
            over_seeds(lambda of: of["golden_information"].get("IDTest")),
            over_seeds(lambda of: of["r_emi"]["policy"].get("IDTest")),
        ]

    return Table("Arms on the benchmark", columns, _rows(arms, columns, cells), "arm")


def page(found: Found) -> str:
    """Both tables as a page of Markdown."""
    lines = [
        "# The arms of CoRL side by side",
        "",
        f"Written by `{found['command']}`; every number, with its commit and hours, is in the JSON beside it.",
        "Means over seeds, in brackets the least and the greatest.",
        "",
    ]
    for table in (world(found), benchmark(found)):
        lines += [f"## {table.title}", "", *markdown.drawn(table), ""]
        if table.has_unvalidated:
            lines += [f"Intervals over lineages, 95%; {DAGGER} = not validated for so few lineages.", ""]
    return "\n".join(lines)


def _rows(arms: Mapping[str, Any], columns: Sequence[Column], cells: Callable[[str, Seeds], list[Cell]]) -> list[Row]:
    """A row an arm: its `cells` over the seeds that have been run, then what it cost."""

    def row(arm: str) -> Row:
        seeds = _run(arms[arm])
        if not seeds:
            return Row(arm, [Cell(next(iter(arms[arm].values()))), *(Cell() for _ in columns[1:])])
        tokens = float(np.mean([of["tokens"] for of in seeds.values()]))
        return Row(arm, [*cells(arm, seeds), plain(tokens, ",.0f"), plain(len(seeds))])

    return [row(arm) for arm in arms]


def _run(seeds: Mapping[str, Any]) -> Seeds:
    return {seed: of for seed, of in seeds.items() if isinstance(of, Mapping)}


def _ranged(values: Sequence[float], form: str) -> Cell:
    """The mean, and from where to where the values reach if there are several."""
    if not values:
        return Cell(DASH)
    mean = float(np.mean(values))
    spread = f"({min(values):{form}} .. {max(values):{form}})" if len(values) > 1 else ""
    return Cell(f"{mean:{form}}", mean, spread)


def _rmse_of_zero(truth: Mapping[str, Any]) -> float:
    return float(np.sqrt(np.mean([value**2 for of in truth["r_emid"].values() for value in of.values()])))
