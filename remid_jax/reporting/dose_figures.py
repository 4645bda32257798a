"""The figure of degraded golden replies: what each quantity says of each rung."""

from __future__ import annotations

import itertools

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.reporting.cells import Results
from remid_jax.reporting.dose_page import SHOWN, UNITS
from remid_jax.reporting.drawing import FACTOR_COLOURS, INK, MORE_COLOURS, STYLE, draw_estimate, finish, new_figure

COLUMNS = 4


@style.context(STYLE)
def rungs(found: Results) -> Figure:
    """A panel a quantity, a row a rung, a mark a category with its interval."""
    names, categories = list(found["rungs"]), list(found["records"])
    colours = dict(zip(categories, itertools.cycle((INK, *FACTOR_COLOURS.values(), *MORE_COLOURS)), strict=False))
    rows = -(-len(SHOWN) // COLUMNS)
    figure, panels = new_figure(14, rows * (0.27 * len(names) + 0.9) + 0.8, COLUMNS, rows, sharey=True)
    for axes, name in zip(panels, SHOWN, strict=True):
        for place, category in enumerate(categories):
            offset = (place - (len(categories) - 1) / 2) * 0.6 / len(categories)
            for at, rung in enumerate(names):
                number = found["values"][name][category][rung]
                draw_estimate(axes, number, at + offset, colours[category], "o", size=3.5, width=1)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(name.rpartition(" ")[0] if name.split()[-1] in UNITS else name)
        axes.set_xlabel(UNITS.get(name.split()[-1], "share of choices" if "identified" in name else "larger is worse"))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    handles = [Line2D([], [], marker="o", color=colours[name], label=name) for name in categories]
    finish(figure, "Golden replies made worse by known amounts, against golden replies", handles, columns=len(handles) + 1)
    return figure
