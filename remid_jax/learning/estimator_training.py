"""Training an estimator by CoRL as one function: from a config to pairs of adapters in a folder."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from ml_collections import ConfigDict

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.reading import read_benchmark, read_reasoning
from remid_jax.dialogues.records import Record
from remid_jax.endpoints.descriptions import is_endpoint, read_description
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.identity import Identity, identify
from remid_jax.information.calibration import folds
from remid_jax.learning.controls import Controls, controls_of
from remid_jax.learning.corl import LEARNERS, CoRL, Settings
from remid_jax.learning.groups import unrelated_groups
from remid_jax.learning.inputs import Inputs, content_of, file_content, open_inputs, reasoning_content
from remid_jax.learning.journal import Journal
from remid_jax.learning.kept import KeptSteps
from remid_jax.learning.loop import Heeding, Phase, Stopped, run
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.settings import PolicyLoss
from remid_jax.models.adapters import adapter_of, check_config
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, on_this_host
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports, Silent
from remid_jax.roles.pairs import Pair, Protocol, has_pair, save_pair, save_pairs, write_manifest
from remid_jax.roles.reasoner import teach, teach_through
from remid_jax.roles.training_runs import TrainingRun
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.kernel import KERNEL_VERSION
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, tokenizer_of
from remid_jax.settings import check_settings


@dataclasses.dataclass(frozen=True)
class Fold:
    """What one pair is trained on, and what it is to score."""

    name: str
    seen: list[Record]
    unseen: list[Record]

    @property
    def origins(self) -> frozenset[str]:
        """The origins of the records that the pair is trained on."""
        return frozenset().union(*(record.origins for record in self.seen))


@dataclasses.dataclass(frozen=True)
class TrainedEstimator:
    """An estimator that was trained: its pairs, the folder that holds them, which run they are of, and the `controls` of each
    pair that has not seen some records, by name."""

    pairs: tuple[Pair, ...]
    folder: Path
    identity: Identity
    controls: Mapping[str, Controls]


def train_estimator(
    config: ConfigDict,
    workdir: str | Path,
    progress: Reports | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> TrainedEstimator:
    """Trains a reasoner and a responder a fold on the records of a benchmark, with the settings of configs/corl_quickstart.py.

    Writes to `workdir` alone: `estimator/` (the pairs and their manifest), `controls.json` (whether reasoning helps, on records
    that a pair has not seen), `training.json`, in `kept/` every `keep_every`-th step of both folds as `estimator/` is at the
    end, `day.txt`, `store.sqlite` where a model teaches, and a folder a fold with what else `policy_training.train`
    writes. Where it holds checkpoints of the same run, that goes on from the last.

    `progress` hears of the stages "teach", and for each fold "train", "reason" and "control". `stopping` is asked after every
    step and while replies are drawn or scored.

    Raises:
      Stopped: if `stopping()` said so; what was done is saved.
      UserError: for settings that mean nothing, inputs that cannot be read or used, a `workdir` that holds another run, or a
        loss that is not finite.
    """
    check_settings(config)
    settings = settings_of(config)
    workdir, progress = Path(workdir), progress or Silent()
    workdir.mkdir(parents=True, exist_ok=True)
    inputs = open_inputs(config, workdir)
    benchmark = read_benchmark(config.benchmark.source, manifest=config.benchmark.manifest)
    everyone = [*benchmark.train, *(record for members in benchmark.test.values() for record in members)]
    records = fitting(config, inputs, everyone, progress)
    split(config, records)  # what cannot be trained is refused before a teacher is asked
    steps = sum(steps for _, steps in settings.schedule)
    teacher = teaching(config, inputs, records, workdir, Heeding(progress, stopping, Stopped(0, steps)))
    parts = split(config, [record for record in records if record.id in teacher])
    identity = identify(
        config.to_dict(),
        {
            "model": inputs.base.fingerprint,
            "the model's tokenizer": tokenizer_of(inputs.base).fingerprint,
            "prompts": inputs.prompts.fingerprint,
            "benchmark.source": benchmark.fingerprint,
            "benchmark.manifest": file_content(config.benchmark.manifest),
            "teacher.reasoning": reasoning_content(config.teacher.reasoning) if config.teacher.reasoning else None,
            "the teacher's reasoning": content_of(teacher),
        }
        | asked_teacher(config),
        {"kernel": KERNEL_VERSION},
    )
    about = {"protocol": config.protocol, "identity": identity.as_json(), "config": json.loads(config.to_json())}
    training = TrainingRun(workdir, "estimator", inputs.base.fingerprint, inputs.base.source, steps)
    pairs: list[Pair] = []
    controls: dict[str, Controls] = {}
    for part in parts:
        folder = workdir / part.name
        folder.mkdir(exist_ok=True)
        store = Store(folder / "store.sqlite")
        corl = CoRL(inputs.base, part.seen, teacher, inputs.prompts, settings, inputs.devices, store)
        kept = KeptSteps(training, config.keep_every, keeping(corl, parts, part, about), part.name)
        learners = train_pair(corl, part.name, folder, identity, config, progress, stopping, kept)
        pairs.append(pair_of(part, {name: on_this_host(model) for name, model in learners.items()}))
        if part.unseen:
            heeding = Heeding(progress, stopping, Stopped(steps, steps, part.name))
            controls[part.name] = controls_of(corl, learners, part.unseen, part.name, heeding)
    if is_first_host():
        save_pairs(training.end, pairs, inputs.base, about)
        write_text(workdir / "controls.json", json.dumps(controls, indent=1) + "\n")
    return TrainedEstimator(tuple(pairs), training.end, identity, controls)


def settings_of(config: ConfigDict) -> Settings:
    """Returns how CoRL is run.

    Raises:
      UserError: for settings that mean nothing.
    """
    if config.protocol not in get_args(Protocol):
        raise UserError(f"config.protocol={config.protocol!r}: choose one of {', '.join(get_args(Protocol))}")
    c = config.lora
    lora = LoRAConfig(c.rank, c.alpha, tuple(c.targets), c.dropout)
    check_config(lora, "config.lora")
    optimizers = {}
    for method in ("sft", "grpo"):
        optimizer = config[method].to_dict()
        optimizers[method] = functools.partial(adamw, optimizer.pop("learning_rate"), **optimizer)
    rewards = {
        name: (config.rewards[name].to_dict(), config.reward_settings.get(name, ConfigDict()).to_dict()) for name in LEARNERS
    }
    return Settings(
        tuple((kind, steps) for kind, steps in config.schedule), lora, optimizers, config.batch, config.prompts_per_step,
        config.draws, config.max_reasoning, config.max_reply, rewards, PolicyLoss(**config.loss),
        config.devices.tokens_per_step, config.devices.max_row, config.devices.sampling_rows, config.seed,
    )  # fmt: skip


def fitting(config: ConfigDict, inputs: Inputs, records: Sequence[Record], progress: Reports) -> list[Record]:
    """Returns the records whose prompts and golden replies are no longer than `config.max_prompt`.

    Raises:
      UserError: if none is.
    """
    tokenizer, prompts = tokenizer_of(inputs.base), inputs.prompts
    longest = {
        record.id: max(len(chat_ids(tokenizer, *prompts.reasoner(record))), len(answer_ids(tokenizer, Reply(record.golden))))
        for record in records
    }
    kept = [record for record in records if longest[record.id] <= config.max_prompt]
    if not kept:
        raise UserError(
            f"{config.benchmark.source}: none of {len(records)} records fits config.max_prompt={config.max_prompt} (the "
            f"shortest has {min(longest.values(), default=0)} tokens): raise it"
        )
    left_out = f", {len(records) - len(kept)} longer than {config.max_prompt} tokens left out"
    progress.say(f"{len(kept)} records{left_out if len(kept) < len(records) else ''}")
    return kept


def split(config: ConfigDict, records: Sequence[Record]) -> list[Fold]:
    """Returns two folds of lineages, each trained on one half and scoring the other; or one that sees everything.

    Raises:
      UserError: if a fold has fewer records than a step takes.
    """
    if config.protocol == "in_sample":
        parts = [Fold("all", list(records), [])]
    else:
        groups: dict[str, list[str]] = {}
        group = unrelated_groups(records)
        for record, name in zip(records, group, strict=True):
            groups.setdefault(record.category, []).append(name)
        if records[0].clusters and len(set(group)) == 1:
            kinds = ", ".join(records[0].clusters)
            raise UserError(
                f"{config.benchmark.source}: all {len(records)} records hang together by the clusters of their lineages "
                f"({kinds}), so no two folds are unrelated: measure with the bare estimator (config.estimator.adapters=), "
                "or name as lineage only what no two folds may share"
            )
        fold = folds(groups, "cross-fitting")
        halves = [[record for record, name in zip(records, group, strict=True) if fold[name] == f] for f in (0, 1)]
        parts = [Fold(f"fold{f}", halves[f], halves[1 - f]) for f in (0, 1)]
    needed = max(config.batch, config.prompts_per_step)
    for part in parts:
        if len(part.seen) < needed:
            raise UserError(
                f"{config.benchmark.source}: {part.name} has {len(part.seen)} records, fewer than a step takes ({needed}): "
                "give more records, or lower config.batch and config.prompts_per_step"
            )
    return parts


def teaching(config: ConfigDict, inputs: Inputs, records: Sequence[Record], workdir: Path, progress: Reports) -> dict[str, str]:
    """Returns the teacher's reasoning by record: read, or written by a model that sees the golden reply, here or behind an
    endpoint. Such a one may leave records out; how many, and what it cost, is said.

    Raises:
      UserError: if it cannot be read, or not be written.
    """
    teacher = config.teacher
    if teacher.reasoning:
        return read_reasoning(teacher.reasoning, records)
    store = Store(workdir / "store.sqlite")
    if not is_endpoint(teacher.model or ""):
        generator = Generator(inputs.model(teacher.model), inputs.devices, store, config.devices.sampling_rows)
        with progress.stage("teach") as advance:
            return teach(records, inputs.prompts, generator, teacher.max_reasoning, advance)
    endpoint = open_endpoint(teacher.model, config.endpoints, store)
    with progress.stage("teach", "replies") as advance:
        written = teach_through(records, inputs.prompts, endpoint, teacher.max_reasoning, advance)
    progress.say(f"{endpoint.name}: {endpoint.ledger.sentence()}")
    if left_out := len(records) - len(written):
        progress.say(f"{left_out} of {len(records)} records left out: {endpoint.name} gave no core features of them")
    return written


def asked_teacher(config: ConfigDict) -> dict[str, str]:
    """Returns {"teacher.model": fingerprint of what is known of it} of a teacher behind an endpoint, else {}."""
    teacher = config.teacher
    if teacher.reasoning or not is_endpoint(teacher.model or ""):
        return {}
    return {"teacher.model": read_description(teacher.model, config.endpoints).fingerprint}


def train_pair(
    corl: CoRL, name: str, folder: Path, identity: Identity, config: ConfigDict, progress: Reports,
    stopping: Callable[[], bool], kept: KeptSteps,
) -> dict[str, LanguageModel]:  # fmt: skip
    """Runs all phases of one pair and returns the learners; one without any phase stays as it began.

    A line a phase says how its reward or loss moved.
    """
    phases = corl.phases()
    ends = set(np.cumsum([phase.steps for phase in phases]).tolist())
    first: dict[tuple[str, int], float] = {}  # of each phase of an iteration
    # The folds of a run differ in their records alone, so a fold's own name keeps one from going on where the other stopped.
    own = dataclasses.replace(identity, settings={**identity.settings, "fold": name})
    checkpoints = Checkpoints(folder / "checkpoints")
    begun = checkpoints.latest or 0
    with progress.stage(f"train {name}", unit="steps") as advance:

        def report(done: int, total: int, phase: Phase, metrics: Mapping[str, float]) -> None:
            advance(done - begun, total - begun)
            quantity = "reward" if "reward" in metrics else "loss"
            before = first.setdefault((phase.name, phase.iteration), metrics[quantity])
            if done in ends:
                change = f"{quantity} {before:.3f} -> {metrics[quantity]:.3f}"
                progress.say(f"  {name} {phase.name} {phase.iteration}: {change}")

        try:
            return corl.learners | run(
                phases, checkpoints, lambda step: Journal(folder, step), own, config.save_every,
                config.show_every, stopping, report, kept,
            )  # fmt: skip
        except Stopped as stop:
            raise Stopped(stop.step, stop.steps, name) from stop


def keeping(
    corl: CoRL, parts: Sequence[Fold], part: Fold, about: Mapping[str, object]
) -> Callable[[Path, int, Mapping[str, LanguageModel]], None]:
    """Returns what writes the learners of a fold after a step; where those of all folds are there, they are an estimator."""

    def write(folder: Path, step: int, models: Mapping[str, LanguageModel]) -> None:
        save_pair(folder, pair_of(part, {**corl.learners, **models}), corl.base)
        if all(has_pair(folder, other.name) for other in parts):
            write_manifest(folder, {other.name: other.origins for other in parts}, corl.base, {**about, "step": step})

    return write


def pair_of(part: Fold, learners: Mapping[str, LanguageModel]) -> Pair:
    """Returns the pair of a fold."""
    reasoner, responder = (adapter_of(learners[name]) for name in LEARNERS)
    return Pair(part.name, reasoner, responder, part.origins)
