"""Figures of an evaluation. Each function makes a `Figure` of its own: pyplot and the global settings stay untouched."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.reporting import tables
from remid_jax.reporting.tables import Results, headline_key, level, prefix

INK, PAPER, GREY = "#1f2328", "#ffffff", "#7d8590"  # the first two become the page's own colours inside the report
GOLDEN, POLICY = "#e69f00", "#0072b2"
DASHES = (0, (3, 1.5))
SHIFT_COLOURS = {"user": "#0072b2", "character": "#d55e00", "dialogue": "#009e73"}  # Okabe and Ito: told apart by all eyes
STYLE: list[Any] = ["default", {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "ytick.left": False,
    "axes.grid": True, "axes.grid.axis": "x", "grid.color": GREY, "grid.alpha": 0.25, "axes.axisbelow": True,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "legend.frameon": False, "legend.fontsize": 8.5,
    "svg.hashsalt": "remid_jax", "svg.fonttype": "path",
}]  # fmt: skip


def figures(results: Results) -> dict[str, Figure]:
    """All figures that these results have data for, by file name."""
    found = {}
    if results["estimates"]["headline"]["categories"]:
        found["r_emid"] = forest(results)
    found["emi_terms"] = emi_terms(results)
    found["replies"] = replies(results)
    if tables.has_self_information(results):
        found["self_information"] = self_information(results)
    return found


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


class _Rows:
    """The heights of categories, in groups by shift, top down, and of the heading above each shift where asked for."""

    def __init__(self, results: Results, names: Collection[str], headings: bool = False):
        self.places: dict[str, float] = {}
        self.shifts: dict[str, float] = {}
        at = 0.0
        for shift, members in tables.groups(results):
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


def _figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def _estimate(
    axes: Axes, number: Mapping[str, Any], at: float, colour: str, marker: str, size: float = 5.5, width: float = 1.2
) -> None:
    """A value with its interval, hollow and dashed where that is not validated; nothing where there is no value."""
    if number["value"] is None:
        return
    bounds = number["interval"]
    if bounds["low"] is not None:
        dashes = "-" if bounds["validated"] else DASHES
        axes.plot([bounds["low"], bounds["high"]], [at, at], color=colour, linestyle=dashes, linewidth=width)
    face = colour if bounds["validated"] else PAPER
    axes.plot(number["value"], at, marker, color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.4, zorder=3)


def _finish(figure: Figure, title: str, handles: list[Line2D]) -> None:
    """The title, and a legend that explains hollow marks where there are any."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if any(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines):
        label = "hollow, dashed: not validated for so few clusters"
        handles.append(Line2D([], [], marker="o", markerfacecolor=PAPER, color=GREY, linestyle=DASHES, label=label))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles) if figure.get_figwidth() > 8 else 2)


@style.context(STYLE)
def forest(results: Results) -> Figure:
    """R-EMID of every category and shift with its interval, in the headline's estimator and unit."""
    estimator, unit, scorer = headline_key(results)
    head, name = results["estimates"]["headline"], f"{prefix(scorer)}EMID"
    rows = _Rows(results, head["categories"], headings=True)
    figure, (axes,) = _figure(8.5, rows.height + 1.5)
    for of, places in (("shifts", rows.shifts), ("categories", rows.places)):
        for label, at in places.items():
            number, colour = head[of][label], SHIFT_COLOURS[label if of == "shifts" else results["categories"][label]["shift"]]
            _estimate(axes, number, at, colour, *(("D", 7, 2.2) if of == "shifts" else ("o", 5.5, 1.4)))
            weight, place = "bold" if of == "shifts" else "normal", (1.02, at)
            axes.annotate(tables.cell(number).text, place, xycoords=("axes fraction", "data"), va="center", fontweight=weight)
    axes.axvline(0, color=INK, linewidth=1)
    rows.label(axes, lambda shift: f"{shift} shift, mean")
    axes.set_xlabel(f"{tables.measure(estimator, unit)}; right of 0 the policy does worse than on IDTest")
    handles = [
        Line2D([], [], marker="D", color=GREY, label=f"mean of a shift, {level(results)} interval"),
        Line2D([], [], marker="o", color=GREY, label=f"category, {level(results)} interval"),
    ]
    _finish(figure, f"{name}: how much less the replies fit their context than on IDTest", handles)
    return figure


@style.context(STYLE)
def emi_terms(results: Results) -> Figure:
    """Ihat of golden and of policy replies, joined by their difference EMI; one panel a scorer."""
    estimator, unit, _ = headline_key(results)
    estimates, rows = results["estimates"], _Rows(results, results["categories"])
    scorers = estimates["estimators"]
    figure, panels = _figure(6.8 if len(scorers) == 1 else 10, rows.height + 1.3, len(scorers), sharex=True, sharey=True)
    for axes, scorer in zip(panels, scorers, strict=True):
        for name, at in rows.places.items():
            section = estimates["categories"][name][scorer]
            golden, policy = (section[side][estimator][unit] for side in ("golden", "policy"))
            for number, offset, colour, marker in ((golden, -0.12, GOLDEN, "s"), (policy, 0.12, POLICY, "o")):
                _estimate(axes, number, at + offset, colour, marker)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(f"{tables.given(scorer)}: {prefix(scorer)}EMI = blue minus orange")
        axes.set_xlabel(tables.measure(estimator, unit))
    rows.label(panels[0])
    handles = [
        Line2D([], [], marker="s", color=GOLDEN, label="Ihat of the golden replies"),
        Line2D([], [], marker="o", color=POLICY, label="Ihat of the policy's replies"),
    ]
    _finish(figure, "What EMI is made of: how much replies tell about their context", handles)
    return figure


@style.context(STYLE)
def replies(results: Results) -> Figure:
    """Lengths, tokens a character, truncations and languages of golden and policy replies."""
    rows = _Rows(results, results["categories"])
    figure, panels = _figure(10.5, rows.height + 1.2, 4, sharey=True)
    found = results["categories"]
    for name, at in rows.places.items():
        lengths, category = results["estimates"]["categories"][name]["lengths"], found[name]
        density = category["tokens_per_char"]
        truncated = category["replies"]["truncated"] / category["records"] if category["records"] else None
        pairs = (
            (lengths["golden"]["tokens"]["value"], lengths["policy"]["tokens"]["value"]),
            (density["golden"], density["policy"]),
            (None, truncated),
            (category["golden"]["in_language"], category["replies"]["in_language"]),
        )
        for axes, (golden, policy) in zip(panels, pairs, strict=True):
            if golden is not None and policy is not None:
                axes.plot([golden, policy], [at, at], color=GREY, linewidth=1)
            if golden is not None:
                axes.plot(golden, at, "s", color=GOLDEN, markersize=6.5, clip_on=False, zorder=3)
            if policy is not None:
                axes.plot(policy, at, "o", color=POLICY, markersize=5, clip_on=False, zorder=4)
    titles = ("Tokens a reply", "Tokens a character", "Replies cut at the limit", "Replies in the user's language")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
    panels[0].set_xlim(left=0)
    panels[1].set_xlim(left=0)
    for axes in panels[2:]:
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    figure.set_layout_engine("constrained", w_pad=0.12)  # the last percentage of one panel stands beside the first of the next
    rows.label(panels[0])
    handles = [
        Line2D([], [], marker="s", color=GOLDEN, linestyle="", label="golden replies"),
        Line2D([], [], marker="o", color=POLICY, linestyle="", label="the policy's replies"),
    ]
    _finish(figure, "The text behind the numbers", handles)
    return figure


@style.context(STYLE)
def self_information(results: Results) -> Figure:
    """Self information of the policy beside Ihat of the golden replies, both by `mixture`, where there are samples."""
    estimates, scorer = results["estimates"], headline_key(results)[2]
    own = {name: information for name, c in estimates["categories"].items() if (information := c["self"]["self_information"])}
    rows = _Rows(results, own)
    figure, (axes,) = _figure(8.5, rows.height + 1.4)
    for name, at in rows.places.items():
        golden = estimates["categories"][name][scorer]["golden"]["mixture"]["response"]
        _estimate(axes, golden, at - 0.14, GOLDEN, "s")
        _estimate(axes, own[name]["response"], at + 0.14, POLICY, "o")
    ceiling = math.log(estimates["n"])
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(ceiling, color=INK, linewidth=1, linestyle=":")
    axes.annotate(f"log n = {ceiling:.2f}", (ceiling, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    axes.set_xlabel("mixture (nats per reply); no estimate passes the dotted line")
    rows.label(axes)
    handles = [
        Line2D([], [], marker="s", color=GOLDEN, label="Ihat of golden replies, estimator"),
        Line2D([], [], marker="o", color=POLICY, label="self information, policy itself"),
    ]
    _finish(figure, "How much the policy's own samples depend on their context", handles)
    return figure
