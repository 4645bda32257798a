"""CoRL: trains an estimator, a reasoner and a responder in turn, a pair of adapters a fold.

    python -m experiments.corl --config=configs/corl_quickstart.py

Killed or sent SIGTERM, it goes on from its last checkpoint when the same command is run again. Writes to the workdir:
`estimator/` (the pairs and their manifest, for --config.estimator.adapters of an evaluation), `controls.json` (whether
reasoning helps, on records that a pair has not seen), and for each fold `metrics.jsonl`, `rollouts.jsonl`, `times.jsonl`,
`training.html`, `tensorboard/`, `checkpoints/`, `store.sqlite`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ml_collections import ConfigDict

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark, read_reasoning
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.information.calibration import folds
from remid_jax.learning.controls import control_features, copied, golden_likelihoods
from remid_jax.learning.corl import LEARNERS, CoRL, Settings
from remid_jax.learning.journal import Journal
from remid_jax.learning.loop import Stopped, run
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.settings import PolicyLoss
from remid_jax.models.adapters import Adapter, check_config
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.parallel import Devices, is_first_host
from remid_jax.progress import Reports
from remid_jax.reporting.training import write_training_report
from remid_jax.roles.pairs import Pair, Protocol, save_pairs
from remid_jax.roles.reading import Reading, reading_of, template_settings
from remid_jax.roles.reasoner import teach
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, tokenizer_of
from remid_jax.settings import check_settings, flat

from . import cli, hosts
from .stopping import GO_ON, Saving, end


@dataclasses.dataclass(frozen=True)
class Fold:
    """What one pair is trained on, and what it is to score."""

    name: str
    seen: list[Record]
    unseen: list[Record]


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    settings = settings_of(config)
    cli.use_compilation_cache()
    devices = Devices("mesh", config.devices.mesh_model)
    opened, prompts = open_model(config.model, config.dtype, devices.parameter_mesh), Prompts.load(config.prompts)
    reading = reading_of(config, workdir)
    base = read_as(opened, thinking=False, template=template_settings(config.template, "config.template"), **reading)
    stages = cli.progress()
    records = read_records(config, base, prompts, stages)
    parts = split(config, records)
    teacher = teaching(config, base, reading, devices, prompts, records, workdir, stages)
    identity = {
        "base": base.fingerprint,
        "prompts": prompts.fingerprint,
        "data": hashlib.sha256(repr(records).encode()).hexdigest(),
        "teacher": hashlib.sha256(json.dumps(teacher, sort_keys=True).encode()).hexdigest(),
        "settings": flat(config),
    }
    pairs, controls = [], {}
    for part in parts:
        folder = workdir / part.name
        folder.mkdir(exist_ok=True)
        corl = CoRL(base, part.seen, teacher, prompts, settings, devices, Store(folder / "store.sqlite"))
        try:
            with Saving() as saving:
                trained = train(corl, part, folder, identity, config, stages, hosts.on_any(saving.asked))
        except Stopped as stop:
            total = sum(steps for _, steps in settings.schedule)
            end(f"stopped after step {stop.step} of {total} of {part.name}, saved: {GO_ON}")
        if is_first_host():
            write_training_report(folder, {"model": config.model, "method": f"CoRL, {part.name}", "config": config.to_dict()})
        reasoner, responder = (adapter_of(trained[name]) for name in LEARNERS)
        pairs.append(Pair(part.name, reasoner, responder, frozenset(record.lineage for record in part.seen)))
        if part.unseen:
            controls[part.name] = control(corl, part, trained, stages)
    if is_first_host():
        about = {"protocol": config.protocol, "identity": identity, "config": json.loads(config.to_json())}
        save_pairs(workdir / "estimator", pairs, base, about)
        write_text(workdir / "controls.json", json.dumps(controls, indent=1) + "\n")
        stages.say(f"trained: {workdir / 'estimator'}")


def settings_of(config: ConfigDict) -> Settings:
    """Raises UserError for settings that mean nothing."""
    if config.protocol not in get_args(Protocol):
        raise UserError(f"config.protocol={config.protocol!r}: choose one of {', '.join(get_args(Protocol))}")
    c = config.lora
    lora = LoRAConfig(c.rank, c.alpha, tuple(c.targets), c.dropout)
    check_config(lora, "config.lora")
    optimizers = {method: functools.partial(_optimizer, config[method].to_dict()) for method in ("sft", "grpo")}
    rewards = {
        name: (config.rewards[name].to_dict(), config.reward_settings.get(name, ConfigDict()).to_dict()) for name in LEARNERS
    }
    return Settings(
        tuple((kind, steps) for kind, steps in config.schedule), lora, optimizers, config.batch, config.prompts_per_step,
        config.draws, config.max_reasoning, config.max_reply, rewards, PolicyLoss(**config.loss),
        config.devices.tokens_per_step, config.devices.max_row, config.devices.sampling_rows, config.seed,
    )  # fmt: skip


def _optimizer(settings: Mapping[str, Any], steps: int):
    return adamw(steps=steps, **settings)


def read_records(config: ConfigDict, base: LanguageModel, prompts: Prompts, stages: Reports) -> list[Record]:
    """All records of the benchmark whose prompts fit, of every split.

    Raises:
      UserError: if none does.
    """
    tokenizer, benchmark = tokenizer_of(base), read_benchmark(config.benchmark.source)
    everyone = [*benchmark.train, *(record for members in benchmark.test.values() for record in members)]
    longest = {
        record.id: max(len(chat_ids(tokenizer, *prompts.reasoner(record))), len(answer_ids(tokenizer, Reply(record.golden))))
        for record in everyone
    }
    fitting = [record for record in everyone if longest[record.id] <= config.max_prompt]
    if not fitting:
        raise UserError(
            f"{config.benchmark.source}: none of {len(everyone)} records fits config.max_prompt={config.max_prompt} (the "
            f"shortest has {min(longest.values(), default=0)} tokens): raise it"
        )
    left_out = f", {len(everyone) - len(fitting)} longer than {config.max_prompt} tokens left out"
    stages.say(f"{len(fitting)} records{left_out if len(fitting) < len(everyone) else ''}")
    return fitting


def split(config: ConfigDict, records: Sequence[Record]) -> list[Fold]:
    """Two folds of lineages, each trained on one half and scoring the other; or one that sees everything.

    Raises:
      UserError: if a fold has fewer records than a step takes.
    """
    if config.protocol == "in_sample":
        parts = [Fold("all", list(records), [])]
    else:
        lineages: dict[str, list[str]] = {}
        for record in records:
            lineages.setdefault(record.category, []).append(record.lineage)
        fold = folds(lineages, "cross-fitting")
        halves = [[record for record in records if fold[record.lineage] == f] for f in (0, 1)]
        parts = [Fold(f"fold{f}", halves[f], halves[1 - f]) for f in (0, 1)]
    needed = max(config.batch, config.prompts_per_step)
    for part in parts:
        if len(part.seen) < needed:
            raise UserError(
                f"{config.benchmark.source}: {part.name} has {len(part.seen)} records, fewer than a step takes ({needed}): "
                "give more records, or lower config.batch and config.prompts_per_step"
            )
    return parts


def teaching(
    config: ConfigDict, base: LanguageModel, reading: Reading, devices: Devices, prompts: Prompts, records: Sequence[Record],
    workdir: Path, stages: Reports,
) -> dict[str, str]:  # fmt: skip
    """The teacher's reasoning for every record: read, or written by a local model that sees the golden reply."""
    c = config.teacher
    if c.reasoning:
        return read_reasoning(c.reasoning, records)
    mesh = devices.parameter_mesh
    model = read_as(open_model(c.model, config.dtype, mesh), thinking=False, **reading) if c.model else base
    generator = Generator(model, devices, Store(workdir / "store.sqlite"), config.devices.sampling_rows)
    with stages.stage("teach") as advance:
        return teach(records, prompts, generator, c.max_reasoning, advance)


def train(
    corl: CoRL, part: Fold, folder: Path, identity: Mapping[str, Any], config: ConfigDict, stages: Reports, stopping
) -> dict[str, LanguageModel]:
    """All phases of one pair; a learner without any stays as it began. A line a phase says how its reward or loss moved."""
    phases = corl.phases()
    moved: list[Mapping[str, Any]] = []
    with stages.stage(f"train {part.name}", unit="steps") as advance:

        def report(done: int, total: int, row: Mapping[str, Any]) -> None:
            advance(done, total)
            if moved and (row["phase"], row["iteration"]) != (moved[0]["phase"], moved[0]["iteration"]):
                moved.clear()
            moved.append(row)
            if done in ends:
                name = "reward" if "reward" in row else "loss"
                stages.say(f"  {part.name} {row['phase']} {row['iteration']}: {name} {moved[0][name]:.3f} -> {row[name]:.3f}")

        ends = set(np.cumsum([phase.steps for phase in phases]).tolist())
        return corl.learners | run(
            phases, Checkpoints(folder / "checkpoints"), lambda start: Journal(folder, start), {**identity, "fold": part.name},
            config.save_every, config.show_every, stopping, report,
        )  # fmt: skip


def adapter_of(model: LanguageModel) -> Adapter:
    assert model.config.adapter is not None
    assert model.added is not None
    return Adapter(model.config.adapter, model.added)


def control(corl: CoRL, part: Fold, trained: Mapping[str, LanguageModel], stages: Reports) -> dict[str, Any]:
    """Golden replies of records the pair has not seen: mean log-likelihood, nats a token, under its own reasoning, none,
    another's, the teacher's and one that leaks; the share of the reasoning's four-word runs that stand in the golden reply; by
    record, too."""
    s = corl.settings
    with stages.stage(f"reason {part.name}") as advance:
        features = corl.features(trained["reasoner"], part.unseen, advance)
    engine = ScoringEngine(trained["responder"], corl.devices, corl.store, s.tokens_per_step, s.max_row)
    with stages.stage(f"control {part.name}") as advance:
        found = golden_likelihoods(
            engine, corl.prompts, part.unseen, control_features(part.unseen, features, corl.teacher_features, s.seed), advance
        )
    means = {name: float(values.mean()) for name, values in found.items()}
    leaked = [copied(features[record.id], record.golden) for record in part.unseen]
    line = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    stages.say(f"  {part.name}, golden replies not seen, nats a token: {line}")
    return {
        "means": means,
        "copied": float(np.mean(leaked)),
        "records": [
            {"sample_ID": record.id, "features": features[record.id], "copied": leaked[n]}
            | {name: float(values[n]) for name, values in found.items()}
            for n, record in enumerate(part.unseen)
        ],
    }


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
