"""The figure of dials: what a policy loses as each is turned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from remid_jax.information.intervals import is_trusted
from remid_jax.reporting.cells import UNITS, Results, headline_key, level
from remid_jax.reporting.dial_tables import SHOWN, curves, titles
from remid_jax.reporting.drawing import DASHES, GOLDEN, INK, PAPER, POLICY, STYLE, finish, new_figure

COLOURS = {"emid": POLICY, "novel_emid": POLICY, "estimator_shift": GOLDEN}


@style.context(STYLE)
def dials(results: Results) -> Figure:
    """A row of panels a curve, a panel a quantity: its values over the dial's positions, with intervals and the band."""
    scorer, of_dials = headline_key(results)[2], curves(results)
    shown = [name for name in SHOWN if all(name in section[scorer] for section in of_dials.values())]
    rows = len(of_dials)
    figure, panels = new_figure(1.5 + 3.4 * len(shown), 1.1 + 2.4 * rows, len(shown), rows, sharex="row")
    for row, (curve, section) in enumerate(of_dials.items()):
        for axes, name in zip(panels[row * len(shown) :], shown, strict=False):
            _curve(axes, section["positions"], section[scorer][name], COLOURS[name])
            axes.set_title(titles(scorer)[name] + f", {UNITS[section[scorer][name]['unit']]}")
            axes.set_xlabel(f"{curve}; 0 as on {section['reference']}")
    handles = [
        Patch(color=POLICY, alpha=0.15, label=f"band: {level(results)} at all settings at once"),
        Line2D([], [], marker="o", color=POLICY, label=f"{level(results)} interval of each setting"),
        Line2D([], [], marker="o", color=GOLDEN, label="of golden replies alone"),
    ]
    finish(figure, "What is lost as the dial is turned", handles)
    return figure


def _curve(axes: Axes, positions: list[float], of_quantity: Mapping[str, Any], colour: str) -> None:
    known = [
        (position, point)
        for position, point in zip(positions, of_quantity["points"], strict=True)
        if point["value"] is not None
    ]
    bands = [(position, point["band"]["low"], point["band"]["high"]) for position, point in known if point["band"] is not None]
    if bands:
        at, low, high = zip(*bands, strict=True)
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot([position for position, _ in known], [point["value"] for _, point in known], color=colour, linewidth=1.2)
    for position, point in known:
        bounds = point["interval"]
        if bounds["low"] is not None:
            dashes = "-" if is_trusted(bounds) else DASHES
            axes.plot([position, position], [bounds["low"], bounds["high"]], color=colour, linestyle=dashes, linewidth=1.2)
        face = colour if is_trusted(bounds) else PAPER
        axes.plot(position, point["value"], "o", color=colour, markerfacecolor=face, markersize=5.5, zorder=3)
    axes.axhline(0, color=INK, linewidth=1)
    axes.grid(axis="y")
