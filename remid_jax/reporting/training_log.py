"""What a training run has logged, read back: spans of steps, their metrics, the rollouts; and what is drawn of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from remid_jax.errors import UserError

METRICS, TIMES, ROLLOUTS = "metrics.jsonl", "times.jsonl", "rollouts.jsonl"
REWARD = "reward/"  # what the columns of the rewards that make up "reward" begin with
PLACE = ("step", "phase", "iteration", "kept")

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Span:
    """Steps in a row of one phase in one iteration; `rows` are its lines of metrics with those of times."""

    phase: str
    iteration: int
    rows: Sequence[Row]

    @property
    def steps(self) -> np.ndarray:
        return np.array([row["step"] for row in self.rows])

    @property
    def columns(self) -> list[str]:
        """The metrics of any of its steps, in the order in which they appear."""
        return [name for name in dict.fromkeys(key for row in self.rows for key in row) if name not in PLACE]

    def values(self, column: str) -> np.ndarray:
        """One number a step; NaN where a step has none."""
        return np.array([np.nan if (value := row.get(column)) is None else value for row in self.rows], float)


@dataclasses.dataclass(frozen=True)
class Log:
    spans: Sequence[Span]
    rollouts: Sequence[Row]

    @property
    def phases(self) -> dict[str, list[Span]]:
        """The spans of each phase by its name, phases in the order in which they began."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.phase, []).append(span)
        return found

    def last_rollouts(self, phase: str, steps: int) -> dict[int, list[Row]]:
        """The rollouts of the last `steps` steps of a phase that show any, latest first."""
        mine = {int(step) for span in self.phases[phase] for step in span.steps}
        shown = sorted({row["step"] for row in self.rollouts} & mine, reverse=True)[:steps]
        return {step: [row for row in self.rollouts if row["step"] == step] for step in shown}


def read(workdir: Path) -> Log:
    """The log in a run's folder; a last line that a kill cut off is passed over.

    Raises:
      UserError: if there are no metrics, or a line is not one that a training run writes.
    """
    if not (workdir / METRICS).is_file():
        raise UserError(f"{workdir}: holds no {METRICS}: name the workdir of a training run")
    times = {row["step"]: row for row in _rows(workdir / TIMES)}
    rows = [{**row, **times.get(row["step"], {})} for row in _rows(workdir / METRICS)]
    runs = itertools.groupby(rows, lambda row: (str(row.get("phase", "training")), int(row.get("iteration", 0))))
    return Log([Span(*of, list(members)) for of, members in runs], list(_rows(workdir / ROLLOUTS)))


def _rows(path: Path) -> Iterator[Row]:
    """The objects of a file of lines; none if there is no file."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number}: broken JSON: run the training again from its last checkpoint") from error
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise UserError(f'{path}: line {number}: must be an object with a "step", as a training run writes it')
        yield row


@dataclasses.dataclass(frozen=True)
class Panel:
    """Curves that share an axis: `curves` maps a metric's column to its label, `share` are numbers from 0 to 1."""

    title: str
    curves: Mapping[str, str]
    unit: str = ""
    share: bool = False
    meaning: str = ""


LOSS = Panel(
    "Loss",
    {"loss": "loss"},
    meaning="What steps minimise: nats per token for SFT; for GRPO a surrogate whose level says nothing.",
)
TOTAL = Panel(
    "Reward",
    {"reward": "reward"},
    meaning="Mean over completions; the band is a standard deviation within a group, either way.",
)
PANELS = (
    Panel("KL to the reference", {"kl": "kl"}, "nats per token", meaning="From learner to reference, by the estimate k3."),
    Panel("Entropy", {"entropy": "entropy"}, "nats per token", meaning="Of the learner's distributions of the next token."),
    Panel(
        "Clipped tokens",
        {"clipped_low": "low", "clipped_high": "high"},
        share=True,
        meaning="Where the clip stopped the update: low, tokens made too improbable; high, tokens made too probable.",
    ),
    Panel(
        "Nothing to learn from",
        {"flat_groups": "flat groups", "excluded": "excluded"},
        share=True,
        meaning="Flat groups: all completions of a prompt have one reward. Excluded: completions without a reward.",
    ),
    Panel("Length", {"tokens": "mean", "longest": "longest"}, "tokens", meaning="Of the completions of a step."),
    Panel("Truncated", {"truncated": "truncated"}, share=True, meaning="Completions cut at the limit of new tokens."),
    Panel(
        "Sampler gap",
        {"sampler_gap": "gap"},
        "nats per token",
        meaning="Between a token's log-probability by the trainer and by the sampler; rounding, if nothing is wrong.",
    ),
    Panel(
        "Margin", {"margin": "margin"}, "nats", meaning="Implicit reward (DPO) of the chosen answer less the rejected one's."
    ),
    Panel("Preferred", {"preferred": "preferred"}, share=True, meaning="Pairs whose margin is above 0."),
    Panel("Gradient norm", {"gradient_norm": "norm"}, meaning="Of the mean gradient, before it is clipped."),
    Panel(
        "Speed",
        {"tokens_per_second": "speed"},
        "tokens per second",
        meaning="Tokens trained on, prompts included, by the time of the whole step; first steps compile.",
    ),
)
SILENT = ("reward_std", "seconds")  # a band around the reward; what speed is made of


def panels(columns: Collection[str]) -> list[Panel]:
    """The panels that `columns` have something for, the unknown among them last, each by itself under its own name."""
    apart = [Panel(f"Reward: {name.removeprefix(REWARD)}", {name: name}) for name in columns if name.startswith(REWARD)]
    known = [panel for panel in (LOSS, TOTAL, *apart, *PANELS) if any(name in columns for name in panel.curves)]
    drawn = {name for panel in known for name in panel.curves}
    return known + [Panel(name, {name: name}) for name in columns if name not in drawn and name not in SILENT]
