"""Does a high R-EMI mean good role-play? Each reply's R-EMI against the share of it that is copied from its own context.

    python -m benchmarks.parroting --workdir=runs/quickstart --output=docs/parroting.png

On the quickstart's run, 2026-11-28:

    96 replies copy 22.1%, golden replies 0.1%; correlation with R-EMI 0.75
    R-EMI of the 54 replies that copy less than 5%: +0.10; of the 34 that copy more than 25%: +1.39 nats a token
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from absl import app, flags
from matplotlib import style
from matplotlib.figure import Figure

from remid_jax.files import write_bytes
from remid_jax.reporting.drawing import GREY, SHIFT_COLOURS, STYLE, png_bytes

WORKDIR = flags.DEFINE_string("workdir", "runs/quickstart", "The evaluation whose samples.parquet is read.")
OUTPUT = flags.DEFINE_string("output", "docs/parroting.png", "The picture.")

RUN, CHARACTERS = 4, 8  # words, or characters of a script without spaces, in a row that count as copied
UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
FEW, MANY = 0.05, 0.25  # shares


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    units = UNIT.findall(text.casefold())
    return {tuple(units[n : n + length]) for n in range(len(units) - length + 1)}


def copied(text: str, source: str) -> float:
    """The share of the runs of `text` that stand in `source`, within 0 .. 1."""
    units = UNIT.findall(text.casefold())
    length = CHARACTERS if sum("\u3040" <= unit[0] <= "\u9fff" for unit in units) > len(units) / 2 else RUN
    of_text = runs(text, length)
    return len(of_text & runs(source, length)) / len(of_text) if of_text else 0.0


def context(row: Mapping[str, Any]) -> str:
    return "\n".join(row[name] for name in ("user_persona", "character", "dialogue", "last_query"))


def draw(rows: Sequence[Mapping[str, Any]], share: np.ndarray, emi: np.ndarray) -> Figure:
    with style.context(STYLE):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="both")
        axes.axhline(0, color=GREY, linewidth=1)
        for shift, colour in ({None: GREY} | SHIFT_COLOURS).items():
            of_shift = np.array([row["shift"] == shift for row in rows])
            name = "in distribution" if shift is None else f"{shift} shift"
            axes.scatter(100 * share[of_shift], emi[of_shift], s=26, color=colour, alpha=0.8, linewidths=0, label=name)
        axes.set_xlabel("share of the reply that is copied from its own context, %")
        axes.set_ylabel("R-EMI of the reply, nats a token")
        axes.set_title(
            f"A reply that parrots its context scores high (correlation {np.corrcoef(share, emi)[0, 1]:.2f})",
            fontweight="bold",
        )
        axes.legend(loc="upper left")
    return figure


def main(_: Sequence[str]) -> None:
    rows = parquet.read_table(Path(WORKDIR.value) / "samples.parquet").to_pylist()
    share = np.array([copied(row["reply"], context(row)) for row in rows])
    emi = np.array([row["policy_club_reasoned"] - row["golden_club_reasoned"] for row in rows])
    golden = np.mean([copied(row["golden"], context(row)) for row in rows])
    correlation, few, many = np.corrcoef(share, emi)[0, 1], share < FEW, share > MANY
    print(f"{len(rows)} replies copy {share.mean():.1%}, golden replies {golden:.1%}; correlation with R-EMI {correlation:.2f}")
    print(
        f"R-EMI of the {few.sum()} replies that copy less than {FEW:.0%}: {emi[few].mean():+.2f}; "
        f"of the {many.sum()} that copy more than {MANY:.0%}: {emi[many].mean():+.2f} nats a token"
    )
    write_bytes(Path(OUTPUT.value), png_bytes(draw(rows, share, emi)))


if __name__ == "__main__":
    app.run(main)
