"""What all figures share: colours and style, rows of categories, estimates with their intervals, files.

pyplot and matplotlib's global settings stay untouched.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter

from remid_jax.information.intervals import Estimate, is_trusted
from remid_jax.reporting import cells
from remid_jax.reporting.cells import Results
from remid_jax.reporting.letters import FONT, fonts_for, foreign, spelt

INK, PAPER, GREY = "#1f2328", "#ffffff", "#7d8590"  # the first two become the page's own colours inside the report
GOLDEN, POLICY = "#e69f00", "#0072b2"
DASHES = (0, (3, 1.5))
FACTOR_COLOURS = {"user": "#0072b2", "character": "#d55e00", "dialogue": "#009e73"}  # Okabe and Ito: told apart by all eyes
MORE_COLOURS = ("#cc79a7", "#56b4e9", "#e69f00", "#882255", "#44aa99", "#999933")
STYLE: list[Any] = ["default", {
    "font.family": FONT, "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "ytick.left": False,
    "axes.grid": True, "axes.grid.axis": "x", "grid.color": GREY, "grid.alpha": 0.25, "axes.axisbelow": True,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "legend.frameon": False, "legend.fontsize": 8.5,
    "svg.hashsalt": "remid_jax", "svg.fonttype": "path", "text.parse_math": False,  # a name may hold a $
}]  # fmt: skip


def shift_colours(results: Results) -> dict[str, str]:
    """Returns a colour for each shift: those of the three factors are always the same."""
    more = itertools.cycle(MORE_COLOURS)
    return {shift: FACTOR_COLOURS.get(shift) or next(more) for shift in results["estimates"]["shifts"]}


def decades(axis: Axis) -> None:
    """Writes the ticks of a logarithmic axis in digits, since no mathematics is typeset."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(LogFormatter())


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, letters as outlines; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style.context(STYLE):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG at 150 dots an inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def inline_svg(svg: bytes, name: str) -> str:
    """SVG for the inside of a page: no prolog, ids of its own (`name-...`), ink and paper in the page's colours."""
    text = svg.decode("utf-8")
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", text[text.index("<svg") :])
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace(INK, "var(--ink)").replace(PAPER, "var(--paper)").replace("xlink:href", "href")


class Rows:
    """The heights of categories, in groups by shift, top down, and of the heading above each shift where asked for."""

    def __init__(self, results: Results, names: Collection[str], headings: bool = False):
        self.places: dict[str, float] = {}
        self.shifts: dict[str, float] = {}
        at = 0.0
        for shift, members in cells.groups(results):
            here = [name for name in members if name in names]
            if here and shift is not None and headings:
                self.shifts[shift] = at
                at += 1
            for name in here:
                self.places[name] = at
                at += 1
            at += 0.5 * bool(here)
        self.count = at - 0.5

    @property
    def height(self) -> float:
        """Inches for the axes."""
        return 0.26 * self.count + 0.3

    def label(self, axes: Axes, shift_label: Callable[[str], str] = str) -> None:
        labels = {**{shift_label(shift): at for shift, at in self.shifts.items()}, **self.places}
        axes.set_yticks(list(labels.values()), list(labels))
        for tick, text in zip(labels.values(), axes.get_yticklabels(), strict=True):
            if tick in self.shifts.values():
                text.set_fontweight("bold")
        axes.set_ylim(self.count - 0.4, -0.6)


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `width` x `height` inches, and its panels row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options).ravel()


def draw_estimate(
    axes: Axes, number: Estimate, at: float, colour: str, marker: str, size: float = 5.5, width: float = 1.2
) -> None:
    """A value with its interval, hollow and dashed where that is not validated; nothing where there is no value."""
    bounds = number["interval"]
    if number["value"] is None or bounds is None:
        return
    if bounds["low"] is not None and bounds["high"] is not None:
        dashes = "-" if is_trusted(bounds) else DASHES
        axes.plot([bounds["low"], bounds["high"]], [at, at], color=colour, linestyle=dashes, linewidth=width)
    face = colour if is_trusted(bounds) else PAPER
    axes.plot(number["value"], at, marker, color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.4, zorder=3)


def finish(figure: Figure, title: str, handles: Sequence[Artist], columns: int = 4) -> None:
    """The title, a legend that explains hollow marks and spelt letters where there are any, and the place of everything.

    What is drawn into the figure after that has no part in its layout.
    """
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if any(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines):
        label = "hollow, dashed: not validated for so few clusters"
        handles = [*handles, Line2D([], [], marker="o", markerfacecolor=PAPER, color=GREY, linestyle=DASHES, label=label)]
    texts = [*(text.get_text() for text in figure.findobj(Text)), *(str(handle.get_label()) for handle in handles)]
    letters = frozenset().union(*map(foreign, texts))
    fonts, lacking = fonts_for(letters)
    if lacking:
        label = "letters that no font here has are spelt out: the tables have them"
        handles = [*handles, Line2D([], [], linestyle="", label=label)]
    figure.legend(handles=handles, loc="outside lower left", ncols=columns if figure.get_figwidth() > 8 else 2)
    if letters:
        _write_with(figure, fonts, lacking)
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")  # else every file of the figure would take as long again


def _write_with(figure: Figure, fonts: Sequence[str], lacking: Collection[str]) -> None:
    """Takes these fonts for all texts, and spells the letters that they lack."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if (written := [spelt(label, lacking) for label in labels]) != labels:  # a tick has its text from the axis
            axis.set_ticklabels(written)
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts)
        text.set_text(spelt(text.get_text(), lacking))
