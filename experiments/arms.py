"""An arm of CoRL and a seed: trained, and measured on some ground."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from . import corl


@dataclass(frozen=True)
class Ground:
    """Where arms are trained and measured.

    `at` is the place of their findings, {arm: {seed: found}}, and `folder` that of their files; `part(arm, seed)` are all
    settings that the numbers depend on; `training(arm, seed)` is the config of CoRL; `measured(that config, the arm's folder)`
    says what the estimator trained there is worth.
    """

    name: str
    at: tuple[str, ...]
    folder: Path
    arms: Sequence[str]
    part: Callable[[str, int], ConfigDict]
    training: Callable[[str, int], ConfigDict]
    measured: Callable[[ConfigDict, Path], Mapping[str, Any]]


def run(ground: Ground, arm: str, seed: int) -> dict[str, Any]:
    """Trains an arm's pairs and measures them: the cost, and what was measured."""
    began, config, folder = time.monotonic(), ground.training(arm, seed), ground.folder / arm / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    corl.main(config, folder)
    found = ground.measured(config, folder)
    steps = [json.loads(line) for path in folder.glob("*/times.jsonl") for line in path.read_text().splitlines()]
    drawn = [json.loads(line) for path in folder.glob("*/metrics.jsonl") for line in path.read_text().splitlines()]
    return {
        "tokens": round(sum(row["seconds"] * row["tokens_per_second"] for row in steps)),
        "rollouts": config.draws * config.prompts_per_step * sum("reward" in row for row in drawn),
        "training_hours": sum(row["seconds"] for row in steps) / 3600,
        "hours": (time.monotonic() - began) / 3600,
        **found,
    }


def reasons(schedule: Iterable[tuple[str, int]]) -> bool:
    """Whether the responder of an arm is trained, and so measured, on reasoning."""
    return "plain_responder" not in dict(schedule)
