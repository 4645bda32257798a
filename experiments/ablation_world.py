"""The arms of `experiments.ablation` on a world where R-EMID is known: what they are trained on, and how far off they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import write_jsonl
from remid_jax.files import write_text
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.roles.pairs import read_pairs
from remid_jax.scoring.store import Store
from remid_jax.synthetic import reasoned_world, world_models

from . import cli
from .arms import Ground, reasons


def ground(config: ConfigDict, folder: Path) -> Ground:
    world = config.world

    def part(arm: str, seed: int) -> ConfigDict:
        of = {name: world[name] for name in ("records", "base", "corl")}
        return ConfigDict({**of, "schedule": world.arms[arm], "loss": world.losses.get(arm, {}), "seed": seed})

    def training(arm: str, seed: int) -> ConfigDict:
        """The base is written once, and records are drawn once a seed, alike for all arms."""
        values = given(world, folder, seed) | {"schedule": world.arms[arm], "seed": seed}
        return cli.changed(world.corl, values | {f"loss.{name}": of for name, of in world.losses.get(arm, {}).items()})

    return Ground("the world", ("world", "arms"), folder, tuple(world.arms), part, training, measured)


def given(world: ConfigDict, folder: Path, seed: int) -> dict[str, str]:
    """What every arm is given: the base, its prompts, a seed's records and what the teacher reasons."""
    base, data = folder / "base", folder / f"records{seed}"
    prompts = Prompts.load(world_models.PROMPTS)
    if not (base / "config.json").is_file():
        world_models.write_base(base, prompts, **world.base)
    if not (data / "teacher.jsonl").is_file():
        data.mkdir(parents=True, exist_ok=True)
        records, reasoning = reasoned_world.drawn(world.records, seed)
        write_jsonl(data / "records.jsonl", records)
        rows = [{"sample_ID": name, "reasoning": text} for name, text in reasoning.items()]
        write_text(data / "teacher.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model": str(base),
        "prompts": str(world_models.PROMPTS),
        "benchmark.source": str(data / "records.jsonl"),
        "teacher.reasoning": str(data / "teacher.jsonl"),
    }


def measured(corl: ConfigDict, folder: Path) -> dict[str, Any]:
    """How far the estimator trained in `folder` is from the truth, over every context; an arm without reasoning gets none."""
    base, prompts, store = open_model(corl.model, corl.dtype), Prompts.load(corl.prompts), Store(":memory:")
    [pair] = read_pairs(folder / "estimator", base).pairs
    features = world_models.reasoned(adapted(base, pair.reasoner), prompts, store) if reasons(corl.schedule) else None
    logs = world_models.log_likelihoods(adapted(base, pair.responder), prompts, features, store)
    named = {} if features is None else {"features_named": world_models.named(features)}
    return named | reasoned_world.compared(logs)
