"""Figures of bounds, risk and attribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from remid_jax.reporting.cells import Results, given, headline_key, level
from remid_jax.reporting.drawing import (
    FACTOR_COLOURS,
    GREY,
    INK,
    PAPER,
    POLICY,
    STYLE,
    Rows,
    decades,
    draw_estimate,
    finish,
    new_figure,
    shift_colours,
)
from remid_jax.reporting.shift_tables import bounded, compared, predicted_from, predictions, shift_data
from remid_jax.reporting.subjects import reference
from remid_jax.theory.bounds.balls import BALLS

PLUG_IN, UNKNOWN = "#d55e00", "#cc79a7"


def shift_figures(results: Results) -> dict[str, Figure]:
    """The figures that these results have data for, by file name."""
    found = {}
    if compared(results):
        found["attribution"] = attribution(results)
    if bounded(results):
        found["bounds"] = bounds(results)
    if predictions(results):
        found["risk"] = risk_curves(results)
    return found


@style.context(STYLE)
def attribution(results: Results) -> Figure:
    """Stacked bars by factor: the joint divergence above chance and, where there are bounds, B_k of the layered bound."""
    data, names, scorer = shift_data(results)["categories"], compared(results), headline_key(results)[2]
    with_bounds = [name for name in bounded(results) if "reason" not in data[name]["bounds"][scorer]["layered"]]
    rows = Rows(results, names)
    figure, panels = new_figure(10 if with_bounds else 7.5, rows.height + 1.3, 1 + bool(with_bounds), sharey=True)
    for name in names:
        above, at = 0.0, rows.places[name]
        significant = "reason" not in data[name]["divergence"]["shares"]
        for factor, colour in FACTOR_COLOURS.items():
            shapley = data[name]["divergence"]["shapley"][factor]
            width = max(shapley["sum"]["value"] - shapley["null"], 0.0)
            face = colour if significant else PAPER
            panels[0].barh(at, width, 0.7, above, color=face, edgecolor=colour, hatch="" if significant else "///", linewidth=1)
            above += width
    panels[0].set_title(f"Divergence of contexts from those of {reference(results)}, above chance")
    panels[0].set_xlabel("representation divergence, Shapley over six orders (nats)")
    for name in with_bounds:
        above = 0.0
        for factor, colour in FACTOR_COLOURS.items():
            width = data[name]["bounds"][scorer]["layered"][factor]["bound"]["value"]
            panels[1].barh(rows.places[name], width, 0.7, above, color=colour, edgecolor=colour, linewidth=1)
            above += width
    if with_bounds:
        panels[1].set_title("Layered bound: sensitivity times shift")
        panels[1].set_xlabel("B of each factor (nats per reply)")
    rows.label(panels[0])
    handles = [Patch(color=colour, label=factor) for factor, colour in FACTOR_COLOURS.items()]
    handles.append(Patch(facecolor=PAPER, edgecolor=GREY, hatch="///", label="not above chance"))
    finish(figure, "Which factor shifts", handles)
    return figure


@style.context(STYLE)
def bounds(results: Results) -> Figure:
    """Measured self EMID of every category with its interval, and both bounds."""
    data, names, scorer = shift_data(results)["categories"], bounded(results), headline_key(results)[2]
    rows = Rows(results, names)
    figure, (axes,) = new_figure(8.5, rows.height + 1.5)
    for name, at in rows.places.items():
        found = data[name]["bounds"][scorer]
        draw_estimate(axes, found["emid"], at - 0.2, POLICY, "o")
        if "bound" in found["plug_in"]:
            draw_estimate(axes, found["plug_in"]["bound"], at, PLUG_IN, "<")
        draw_estimate(axes, found["unknown_shift"]["bound"], at + 0.2, UNKNOWN, "<")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel(f"nats per reply, golden term {given(scorer)}")
    rows.label(axes)
    handles = [
        Line2D([], [], marker="o", color=POLICY, label=f"self EMID, {level(results)} interval"),
        Line2D([], [], marker="<", color=PLUG_IN, label="plug_in bound"),
        Line2D([], [], marker="<", color=UNKNOWN, label="unknown_shift bound"),
    ]
    finish(figure, "How much self information the shift costs, and what bounds allow", handles, columns=2)
    return figure


@style.context(STYLE)
def risk_curves(results: Results) -> Figure:
    """Worst self EMID over the radius of each ball, bracketed by the attack; categories stand at their divergence.

    Each reference that has a prediction has a row of panels.
    """
    of_references, colours = predictions(results), shift_colours(results)
    width, height = 11, 0.9 + 2.7 * len(of_references)
    figure, panels = new_figure(width, height, len(BALLS), len(of_references), sharey=True, sharex="col")
    for row, (name, found) in enumerate(of_references.items()):
        of_row = panels[row * len(BALLS) : (row + 1) * len(BALLS)]
        for axes, ball in zip(of_row, BALLS, strict=True):
            _risk_curve(axes, np.array(found["radii"]), found["balls"][ball])
            axes.set_title(ball)
        _mark_divergences(of_row[BALLS.index("js")], results, name, found["radii"][0])
        from_here = f"from {name}\n" if len(of_references) > 1 else ""
        of_row[0].set_ylabel(f"{from_here}self EMID (nats per reply)")
    for axes in panels[-len(BALLS) :]:
        axes.set_xlabel("radius (nats)")
    handles = [
        Line2D([], [], color=PLUG_IN, label=f"risk, {level(results)} interval"),
        Line2D([], [], color=PLUG_IN, linestyle=":", label="without the penalty"),
        Line2D([], [], color=POLICY, label="found by the attack"),
        *(Line2D([], [], color=colour, label=f"{shift} shift's categories") for shift, colour in colours.items()),
    ]
    finish(figure, f"The worst shift of each size, predicted from {predicted_from(results)} alone", handles, columns=3)
    return figure


def _risk_curve(axes: Axes, radii: np.ndarray, of_ball: Mapping[str, Any]) -> None:
    risk = [number["value"] for number in of_ball["risk"]]
    bounds = [(number["interval"]["low"], number["interval"]["high"]) for number in of_ball["risk"]]
    if all(low is not None for low, _ in bounds):
        low, high = np.array(bounds).T
        axes.fill_between(radii, low, high, color=PLUG_IN, alpha=0.12, linewidth=0)
    axes.plot(radii, risk, color=PLUG_IN, linewidth=1.6)
    axes.plot(radii, [number["value"] for number in of_ball["linear"]], color=PLUG_IN, linewidth=1.2, linestyle=":")
    axes.plot(radii, [np.nan if value is None else value for value in of_ball["attack"]], color=POLICY, linewidth=1.4)
    axes.set_xscale("log")
    decades(axes.xaxis)
    axes.grid(axis="y")


def _mark_divergences(axes: Axes, results: Results, reference: str, smallest: float) -> None:
    """A line at the divergence of every category that is compared with `reference`."""
    data, scorer, colours = shift_data(results)["categories"], headline_key(results)[2], shift_colours(results)
    for name in compared(results):
        divergence = data[name]["bounds"].get(scorer, {}).get("plug_in", {}).get("divergence")
        here = results["categories"][name].get("reference", reference) == reference
        if here and divergence is not None and divergence["value"] > smallest:
            axes.axvline(divergence["value"], color=colours[results["categories"][name]["shift"]], linewidth=1, alpha=0.6)
