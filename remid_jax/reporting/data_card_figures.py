"""The figures of a benchmark's card: how long its texts are, what its gates took out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from remid_jax.reporting.drawing import GOLDEN, GREY, INK, POLICY, STYLE, finish, new_figure

if TYPE_CHECKING:
    from remid_jax.dialogues.records import Record

PARTS: dict[str, Callable[[Record], int]] = {
    "user persona": lambda record: len(record.user_persona),
    "character": lambda record: len(record.character_text),
    "dialogue": lambda record: sum(len(turn.text) for turn in record.dialogue),
    "golden reply": lambda record: len(record.golden),
}
"""The parts of a record whose lengths are shown, in characters."""
QUARTERS = (0, 0.25, 0.5, 0.75, 1)


@style.context(STYLE)
def lengths(by_category: Mapping[str, Sequence[Record]]) -> Figure:
    """Draws the lengths of each part of records, a row a category: a box from quarter to quarter, a line to the ends."""
    names = list(by_category)
    figure, panels = new_figure(11, 0.26 * len(names) + 1.4, len(PARTS), sharey=True)
    for axes, (part, length) in zip(panels, PARTS.items(), strict=True):
        for at, name in enumerate(names):
            low, first, middle, third, high = np.quantile([length(record) for record in by_category[name]], QUARTERS)
            axes.plot([low, high], [at, at], color=GREY, linewidth=1)
            axes.barh(at, third - first, 0.6, left=first, color=POLICY, alpha=0.35)
            axes.plot([middle, middle], [at - 0.3, at + 0.3], color=INK, linewidth=1.4)
        axes.set_title(part)
        axes.set_xlabel("characters")
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    finish(figure, "How long the texts are", [Line2D([], [], color=INK, label="median; box: half of the records; line: all")])
    return figure


@style.context(STYLE)
def gates(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draws how many records each gate looked at, a row a gate, and how many of them it rejected."""
    names = list(counts)
    looked_at = [counts[name]["looked_at"] for name in names]
    rejected = [counts[name]["rejected"] for name in names]
    figure, (axes,) = new_figure(6.5, 0.3 * len(names) + 1.3)
    axes.barh(range(len(names)), looked_at, 0.6, color=POLICY, alpha=0.35, label="looked at")
    axes.barh(range(len(names)), rejected, 0.6, color=GOLDEN, label="rejected")
    for at, (seen, out) in enumerate(zip(looked_at, rejected, strict=True)):
        axes.text(seen, at, f" {out:,} of {seen:,}", va="center", color=INK, fontsize=8)
    axes.set_xlim(0, 1.2 * max(looked_at, default=0) or 1)
    axes.set_xlabel("records")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    finish(figure, "What the gates took out", axes.get_legend_handles_labels()[0])
    return figure
