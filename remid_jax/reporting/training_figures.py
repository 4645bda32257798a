"""Figures of a training run: one of its course, and one of all curves for each phase."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from remid_jax.reporting.drawing import GREY, INK, STYLE, decades, finish
from remid_jax.reporting.training_log import LOSS, TOTAL, Log, Panel, Span, panels

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
SECOND = GREY
COLUMNS = 3
SMOOTHED_FROM = 20  # steps: with fewer, a running mean says nothing that the points do not
LOG_FROM = 30.0  # the ratio of a gradient's largest to its smallest norm from which its axis is logarithmic


def figures(log: Log) -> dict[str, Figure]:
    """The figures by name: "course" if there is more than one span, and "phase0" .. in the order of `log.phases`."""
    drawn = {"course": course(log)} if len(log.spans) > 1 else {}
    for n, (name, spans) in enumerate(log.phases.items()):
        drawn[f"phase{n}"] = phase(name, spans, colour(n))
    return drawn


def colour(number: int) -> str:
    """Of the phase that was the `number`-th to begin."""
    return COLOURS[number % len(COLOURS)]


def window(steps: int) -> int:
    """Steps of a running mean over a span, an odd number; 0: none is drawn."""
    return 0 if steps < SMOOTHED_FROM else 2 * (steps // 40) + 5


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Means of the numbers among the `width` values around each, fewer at the ends; NaN stays NaN."""
    known = np.isfinite(values)
    sums, counts = (
        np.convolve(of, np.ones(width), "full")[width // 2 :][: len(values)] for of in (np.where(known, values, 0), known)
    )
    return np.where(known, sums / np.maximum(counts, 1), np.nan)


@style.context(STYLE)
def course(log: Log) -> Figure:
    """All steps of the run in order: above the loss of the phases that had no reward, below the reward of those that had."""
    rewarded = [span for span in log.spans if "reward" in span.columns]
    taught = [span for span in log.spans if span not in rewarded]
    rows = [(panel, spans) for panel, spans in ((LOSS, taught), (TOTAL, rewarded)) if spans]
    figure = Figure(figsize=(10.5, 1.2 + 1.7 * len(rows)), layout="constrained")
    order = list(log.phases)
    for axes, (panel, spans) in zip(figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0], rows, strict=True):
        for span in spans:
            _curve(axes, span, next(iter(panel.curves)), span.steps, colour(order.index(span.phase)))
        _bands(axes, log, order, named=axes is figure.axes[0])
        axes.set_title("Loss of supervised phases" if panel is LOSS else panel.title, pad=18 if axes is figure.axes[0] else 6)
        _tidy(axes, panel)
    figure.axes[-1].set_xlabel("step of the run")
    handles = [Line2D([], [], color=colour(n), linewidth=2, label=name) for n, name in enumerate(order)]
    finish(figure, "The course of the run", handles, columns=5)
    return figure


def _bands(axes: Axes, log: Log, order: Sequence[str], named: bool) -> None:
    """A tint behind each span, lines between them, and above the axes the iterations where they begin."""
    last = max(span.steps[-1] for span in log.spans)
    axes.set_xlim(log.spans[0].steps[0] - 0.5, last + 0.5)
    above = blended_transform_factory(axes.transData, axes.transAxes)
    before: Span | None = None
    for span in log.spans:
        axes.axvspan(span.steps[0] - 0.5, span.steps[-1] + 0.5, color=colour(order.index(span.phase)), alpha=0.08, linewidth=0)
        if before is not None:
            new = span.iteration != before.iteration
            axes.axvline(
                span.steps[0] - 0.5, color=INK if new else GREY, linewidth=1 if new else 0.6, linestyle="-" if new else ":"
            )
        if named and span.iteration and (before is None or span.iteration != before.iteration):
            axes.text(span.steps[0] - 0.5, 1.03, f" iteration {span.iteration}", transform=above, fontsize=8.5, color=INK)
        before = span


@style.context(STYLE)
def phase(name: str, spans: Sequence[Span], colour: str) -> Figure:
    """Every metric of a phase over its own steps; its spans stand one after the other, curves break between them."""
    shown = panels(list(dict.fromkeys(column for span in spans for column in span.columns)))
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure(figsize=(10.5, 1.1 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).ravel()
    starts = list(itertools.accumulate((len(span.rows) for span in spans), initial=0))
    for axes, panel in zip(grid, shown, strict=False):
        for span, start in zip(spans, starts, strict=False):
            at = start + 1 + np.arange(len(span.rows))
            for column, hue in zip(panel.curves, (colour, SECOND), strict=False):
                _curve(axes, span, column, at, hue)
            if panel is TOTAL:
                mean, spread = span.values("reward"), span.values("reward_std")
                axes.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.13, linewidth=0)
        _boundaries(axes, spans, starts, named=axes in grid[:COLUMNS])
        axes.set_title(f"{panel.title} ({panel.unit})" if panel.unit else panel.title, pad=14 if axes in grid[:COLUMNS] else 6)
        axes.set_xlim(0.5, starts[-1] + 0.5)
        _tidy(axes, panel)
        if len(panel.curves) > 1:
            pairs = zip(panel.curves.values(), (colour, SECOND), strict=False)
            axes.legend(handles=[Line2D([], [], color=hue, label=label) for label, hue in pairs], loc="best", fontsize=7.5)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(shown) - COLUMNS) : len(shown)]:
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid[-COLUMNS:]:
        axes.set_xlabel("step of the phase")
    handles = [Line2D([], [], color=colour, alpha=0.35, linewidth=0.9, label="each step")]
    if widths := sorted({width for span in spans if (width := window(len(span.rows)))}):
        label = f"running mean of {' or '.join(map(str, widths))} steps"
        handles.append(Line2D([], [], color=colour, linewidth=1.8, label=label))
    finish(figure, f"{name}, step by step", handles)
    return figure


def _curve(axes: Axes, span: Span, column: str, at: np.ndarray, colour: str) -> None:
    """A metric over `at`: every step, and its running mean over that where there are steps enough."""
    values, width = span.values(column), window(len(span.rows))
    if not np.isfinite(values).any():
        return
    values = np.where(np.isfinite(values), values, np.nan)
    thin = 0.9 if width else 1.4
    (line,) = axes.plot(at, values, color=colour, linewidth=thin, alpha=0.35 if width else 1, label=f"_{column}")
    if not width:
        line.set(marker="o", markersize=2.5)
    if width:
        axes.plot(at, running_mean(values, width), color=colour, linewidth=1.8, label=f"_mean of {column}")


def _boundaries(axes: Axes, spans: Sequence[Span], starts: Sequence[int], named: bool) -> None:
    """A dotted line where a later span of the phase begins; above the axes each span's iteration, or its first step."""
    above = blended_transform_factory(axes.transData, axes.transAxes)
    for span, start in zip(spans, starts, strict=False):
        if start:
            axes.axvline(start + 0.5, color=GREY, linewidth=0.9, linestyle=":")
        if named and len(spans) > 1:
            where = f"iteration {span.iteration}" if span.iteration else f"from step {span.steps[0]}"
            axes.text(
                start + 0.5,
                1.015,
                where.replace("iteration", "it.") if len(spans) > 3 else where,
                transform=above,
                fontsize=7,
                color=GREY,
                va="bottom",
            )


def _tidy(axes: Axes, panel: Panel) -> None:
    """Ticks and limits that suit what is shown."""
    axes.grid(axis="y", color=GREY, alpha=0.25)
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if panel.share:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 0.01))
    elif "tokens_per_second" in panel.curves:
        axes.set_ylim(bottom=0)
    elif "gradient_norm" in panel.curves:
        drawn = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_label() == "_gradient_norm"]
        positive = np.concatenate([of[of > 0] for of in drawn] or [np.empty(0)])
        if positive.size and positive.max() / positive.min() > LOG_FROM:
            axes.set_yscale("log")
            decades(axes.yaxis)
