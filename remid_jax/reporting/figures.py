"""Figures of an evaluation; each function makes a `Figure` of its own. Those of bounds are in `shift_figures`."""

from __future__ import annotations

import math

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.information.intervals import Estimate
from remid_jax.information.verdict import emi_of
from remid_jax.reporting import cells, dial_figures, dial_tables, shift_figures, tables
from remid_jax.reporting.cells import Results, headline_key, level, prefix
from remid_jax.reporting.drawing import (
    GOLDEN,
    GREY,
    INK,
    POLICY,
    STYLE,
    Rows,
    draw_estimate,
    finish,
    new_figure,
    shift_colours,
)
from remid_jax.reporting.subjects import reference


def figures(results: Results) -> dict[str, Figure]:
    """All figures that these results have data for, by file name."""
    found = {}
    if results["estimates"]["headline"]["categories"]:
        found["r_emid"] = forest(results)
    if dial_tables.curves(results):
        found["dials"] = dial_figures.dials(results)
    found["emi_terms"] = emi_terms(results)
    found["replies"] = replies(results)
    if tables.has_self_information(results):
        found["self_information"] = self_information(results)
    return found | shift_figures.shift_figures(results)


@style.context(STYLE)
def forest(results: Results) -> Figure:
    """R-EMID of every category and shift with its interval: of whole replies, in the headline's estimator and unit, and of
    what is novel in them, where that is known."""
    estimator, unit, scorer = headline_key(results)
    estimates, name = results["estimates"], f"{prefix(scorer)}EMID"
    head, rows = estimates["headline"], Rows(results, estimates["headline"]["categories"], headings=True)
    colours = shift_colours(results)
    parted = all("by_source" in estimates["categories"][label][scorer] for label in rows.places)

    def novel(of: str, label: str) -> Estimate:
        return emi_of(estimates[of][label][scorer], "emid", "novel")

    panels = [(name, lambda of, label: head[of][label]), *([(f"novel {name}", novel)] if parted else [])]
    figure, panel_axes = new_figure(4.5 + 4 * len(panels), rows.height + 1.5, len(panels), sharey=True)
    for axes, (title, number_of) in zip(panel_axes, panels, strict=True):
        for of, places in (("shifts", rows.shifts), ("categories", rows.places)):
            for label, at in places.items():
                number = number_of(of, label)
                colour = colours[label if of == "shifts" else results["categories"][label]["shift"]]
                draw_estimate(axes, number, at, colour, *(("D", 7, 2.2) if of == "shifts" else ("o", 5.5, 1.4)))
                weight, place = "bold" if of == "shifts" else "normal", (1.02, at)
                axes.annotate(
                    cells.cell(number).text, place, xycoords=("axes fraction", "data"), va="center", fontweight=weight
                )
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(title)
        measured = cells.measure(estimator, unit) if title == name else tables.RATE_WORDS
        axes.set_xlabel(f"{measured}; right of 0: more is lost than of golden replies")
    rows.label(panel_axes[0], lambda shift: f"{shift} shift, mean")
    handles = [
        Line2D([], [], marker="D", color=GREY, label=f"mean of a shift, {level(results)} interval"),
        Line2D([], [], marker="o", color=GREY, label=f"category, {level(results)} interval"),
    ]
    finish(figure, f"{name}: what the policy loses against {reference(results)} beyond what golden replies lose", handles)
    return figure


@style.context(STYLE)
def emi_terms(results: Results) -> Figure:
    """Ihat of golden and of policy replies, joined by their difference EMI; one panel a scorer."""
    estimator, unit, _ = headline_key(results)
    estimates, rows = results["estimates"], Rows(results, results["categories"])
    scorers = estimates["estimators"]
    figure, panels = new_figure(6.8 if len(scorers) == 1 else 10, rows.height + 1.3, len(scorers), sharex=True, sharey=True)
    for axes, scorer in zip(panels, scorers, strict=True):
        for name, at in rows.places.items():
            section = estimates["categories"][name][scorer]
            golden, policy = (section[side][estimator][unit] for side in ("golden", "policy"))
            for number, offset, colour, marker in ((golden, -0.12, GOLDEN, "s"), (policy, 0.12, POLICY, "o")):
                draw_estimate(axes, number, at + offset, colour, marker)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(f"{cells.given(scorer)}: {prefix(scorer)}EMI = blue minus orange")
        axes.set_xlabel(cells.measure(estimator, unit))
    rows.label(panels[0])
    handles = [
        Line2D([], [], marker="s", color=GOLDEN, label="Ihat of the golden replies"),
        Line2D([], [], marker="o", color=POLICY, label="Ihat of the policy's replies"),
    ]
    finish(figure, "What EMI is made of: how much replies tell about their context", handles)
    return figure


@style.context(STYLE)
def replies(results: Results) -> Figure:
    """Lengths, tokens a character, truncations and languages of golden and policy replies."""
    rows = Rows(results, results["categories"])
    figure, panels = new_figure(10.5, rows.height + 1.2, 4, sharey=True)
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
    finish(figure, "The text behind the numbers", handles)
    return figure


@style.context(STYLE)
def self_information(results: Results) -> Figure:
    """Self information of the policy beside Ihat of the golden replies, both by `mixture`, where there are samples."""
    estimates, scorer = results["estimates"], headline_key(results)[2]
    own = {name: information for name, c in estimates["categories"].items() if (information := c["self"]["self_information"])}
    rows = Rows(results, own)
    figure, (axes,) = new_figure(8.5, rows.height + 1.4)
    for name, at in rows.places.items():
        golden = estimates["categories"][name][scorer]["golden"]["mixture"]["response"]
        draw_estimate(axes, golden, at - 0.14, GOLDEN, "s")
        draw_estimate(axes, own[name]["response"], at + 0.14, POLICY, "o")
    ceiling = math.log(estimates["n"])
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(ceiling, color=INK, linewidth=1, linestyle=":")
    axes.annotate(f"log n = {ceiling:.2f}", (ceiling, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    axes.set_xlabel("mixture (nats per reply); no estimate, but an interval, can pass the dotted line")
    rows.label(axes)
    handles = [
        Line2D([], [], marker="s", color=GOLDEN, label="Ihat of golden replies, estimator"),
        Line2D([], [], marker="o", color=POLICY, label="self information, policy itself"),
    ]
    finish(figure, "How much the policy's own samples depend on their context", handles)
    return figure
