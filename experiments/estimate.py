"""Estimates from stored log-likelihood matrices alone: see configs/estimate.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.score_files import read_scores
from remid_jax.files import write_text
from remid_jax.information.estimates import Settings
from remid_jax.parallel import Devices
from remid_jax.reporting.tables import contexts
from remid_jax.settings import check_settings

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.input:
        raise UserError("config.input is not set: give the score table, --config.input=SCORES.npz")
    output = config.output or workdir / "estimates.json"
    check_output(output, "config.output")
    cli.use_compilation_cache()
    results = estimates(read_scores(config.input), Settings(**config.settings), Devices(config.parallel))
    write_text(output, json.dumps(results, indent=1, allow_nan=False) + "\n")
    show(results, Console(width=None if sys.stdout.isatty() else 120))


def show(results: dict[str, Any], console: Console) -> None:
    """The headline estimator by category, then by shift."""
    headline = results["headline"]
    estimator, unit, scorer = headline["estimator"], headline["unit"], headline["scorer"]
    prefix = "R-" if scorer == "reasoned" else ""
    level = format(results["settings"]["level"], ".0%")
    table = Table(title=f"{estimator}, {unit}, contexts: {contexts(results)}, {level} intervals")
    table.add_column("category")
    for column in (f"{prefix}EMI", f"{prefix}EMID", "estimator shift", "golden retrieved", "saturated"):
        table.add_column(column, justify="right")
    for name, category in results["categories"].items():
        section = category[scorer]
        shares = [section["golden"]["retrieval"], section["golden"]["saturated"]]
        table.add_row(name, *cells(section, estimator, unit), *(as_text(share, ".0%") for share in shares))
    table.add_section()
    for shift, row in results["shifts"].items():
        table.add_row(f"{shift} shift", *cells(row[scorer], estimator, unit), "", "")
    console.print(table)
    console.print("larger R-EMID = worse degradation; * = fewer lineages than the interval is validated for", markup=False)
    if "reason" in headline:
        console.print(f"no headline: {headline['reason']}", markup=False)


def cells(section: dict[str, Any], estimator: str, unit: str) -> list[str]:
    rows = ("emi", "emid", "estimator_shift")
    return [as_text(section[row][estimator][unit], "+.4f") if row in section else "" for row in rows]


def as_text(number: dict[str, Any], form: str) -> str:
    """A value with half its jackknife interval; "*": that is not validated, "-": there is no value."""
    if number["value"] is None:
        return "-"
    text, bounds = format(number["value"], form), number["interval"]
    if form.endswith("%") or bounds["low"] is None:
        return text
    return f"{text} ±{(bounds['high'] - bounds['low']) / 2:{form.lstrip('+')}}{'' if bounds['validated'] else '*'}"


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
