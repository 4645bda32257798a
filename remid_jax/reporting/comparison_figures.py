"""Figures of a comparison: values over the steps of training runs, whose checkpoints are named RUN@step."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.reporting.cells import UNITS
from remid_jax.reporting.comparison_ranking import is_large
from remid_jax.reporting.comparison_tables import SENSE, quantities, quantity_name
from remid_jax.reporting.drawing import FACTOR_COLOURS, GREY, INK, MORE_COLOURS, STYLE, finish, new_figure
from remid_jax.reporting.subjects import Results

MOST_RUNS = 12  # training runs whose lines can be told apart
CHECKPOINT = re.compile(r"(?P<run>.+)@(?P<step>\d+)")


def training_runs(results: Results) -> dict[str, dict[int, str]]:
    """Returns {training run: {step: the run of the comparison}} of the runs named RUN@step, the steps in order."""
    found: dict[str, dict[int, str]] = {}
    for run in results["runs"]:
        if named := CHECKPOINT.fullmatch(run):
            found.setdefault(named["run"], {})[int(named["step"])] = run
    return {run: dict(sorted(steps.items())) for run, steps in found.items()}


def overall_standings(results: Results) -> dict[str, Mapping[str, Any]]:
    """Returns {quantity: {run: its standing}} over all shifted categories; nothing where there are none."""
    found = {entry["quantity"]: entry["runs"] for entry in results["standings"] if entry["kind"] == "overall"}
    return {quantity: found[quantity] for quantity in quantities(results) if quantity in found}


@style.context(STYLE)
def curves(results: Results) -> Figure | None:
    """Returns the values of checkpoints by step, a line and a band a training run; others are lines across.

    The band of a panel holds all values in it together. None where no training run has two steps, or over `MOST_RUNS` are, or
    nothing is shifted. Among hundreds of runs the baseline is the only line across.
    """
    runs, panels = training_runs(results), overall_standings(results)
    if not panels or all(len(steps) < 2 for steps in runs.values()) or len(runs) > MOST_RUNS:
        return None
    rows = -(-len(panels) // 2)
    figure, all_axes = new_figure(6.5 * min(len(panels), 2), 4.2 * rows, min(len(panels), 2), rows)
    colours = dict(zip(runs, itertools.cycle((*FACTOR_COLOURS.values(), *MORE_COLOURS)), strict=False))
    others = [run for run in results["runs"] if CHECKPOINT.fullmatch(run) is None]
    if is_large(results):
        others = [run for run in others if run == results["baseline"]]
    for axes, (quantity, standings) in zip(all_axes, panels.items(), strict=True):  # losses above, EMI below
        for run in others:
            if (value := standings[run]["value"]) is not None:
                axes.axhline(value, color=GREY, linewidth=1, linestyle=":" if run != results["baseline"] else "-")
        for run, steps in runs.items():
            known = {step: standings[name] for step, name in steps.items() if standings[name]["value"] is not None}
            axes.plot(list(known), [at["value"] for at in known.values()], "o-", color=colours[run], markersize=4)
            banded = {step: at for step, at in known.items() if at["low"] is not None}
            low, high = ([at[end] for at in banded.values()] for end in ("low", "high"))
            axes.fill_between(list(banded), low, high, color=colours[run], alpha=0.15, linewidth=0)
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.set_xlabel("training step")
        axes.set_title(f"{quantity_name(results, quantity)}, {UNITS[results['headline']['unit']]}; {SENSE[quantity]}")
    handles = [Line2D([], [], marker="o", color=colours[run], label=run) for run in runs]
    handles += [Line2D([], [], color=GREY, linestyle="-" if run == results["baseline"] else ":", label=run) for run in others]
    level = format(results["simultaneous"]["level"], ".0%")
    finish(figure, f"All shifted categories, with a {level} band for all checkpoints of a panel together", handles)
    return figure
