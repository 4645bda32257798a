"""The figure of agreement with scores: a panel a score, a row a quantity."""

from __future__ import annotations

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.information.pointwise import BASELINES
from remid_jax.reporting.cells import Results
from remid_jax.reporting.drawing import GREY, INK, POLICY, STYLE, draw_estimate, finish, new_figure

COLUMNS = 3


@style.context(STYLE)
def agreement(found: Results) -> Figure:
    """Draws Spearman's correlation of every quantity with every score, with its interval; baselines are grey."""
    scores = found["agreement"]
    names = list(next(iter(scores.values())))
    columns = min(COLUMNS, len(scores))
    rows = -(-len(scores) // columns)
    figure, panels = new_figure(3.4 * columns + 2.4, rows * (0.24 * len(names) + 0.7) + 0.8, columns, rows, sharey=True)
    for axes, (score, of_score) in zip(panels, scores.items(), strict=False):
        for at, name in enumerate(names):
            draw_estimate(axes, of_score[name]["spearman"], at, GREY if name in BASELINES else POLICY, "o", size=4)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(score)
        axes.set_xlabel("Spearman")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    for axes in panels[len(scores) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=POLICY, label="information"),
        Line2D([], [], marker="o", linestyle="", color=GREY, label="needs no other context"),
    ]
    finish(figure, "How far quantities order replies as their scores do", handles, columns=3)
    return figure
