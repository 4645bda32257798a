"""Training a role-playing policy as one function: from a config to an adapter in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.reading import read_reasoning, read_training
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.identity import Identity, identify
from remid_jax.learning.augmentation import augmented
from remid_jax.learning.feed import Feed
from remid_jax.learning.inputs import Inputs, content_of, file_content, open_inputs, reasoning_content
from remid_jax.learning.journal import Journal
from remid_jax.learning.kept import KeptSteps
from remid_jax.learning.loop import Heeding, Phase, Recipe, Stopped, run
from remid_jax.learning.objectives import GroupRelative, Likelihood, Objective, Preference
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.policies import METHODS, Data, Start, asked_of, golden_examples, recipe_of
from remid_jax.learning.rewards import Resources, make_rewards
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import Adapter, adapted, adapter_of, check_config, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, on_this_host
from remid_jax.models.peft_files import save_adapter
from remid_jax.models.saving import save_model
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports, Silent
from remid_jax.roles.training_runs import TrainingRun, read_policy_adapter
from remid_jax.scoring.kernel import KERNEL_VERSION
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of
from remid_jax.settings import check_settings

LEARNER = "policy"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A policy that was trained: the model, the folder that holds its adapter (all of it, after full fine-tuning), and which
    run it is of."""

    policy: LanguageModel
    folder: Path
    identity: Identity


def train(
    config: ConfigDict,
    workdir: str | Path,
    progress: Reports | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Trained:
    """Trains a policy on the IDTrain records of a benchmark; the settings are those of configs/policy_sft.py.

    Writes to `workdir` alone: `adapter/` in PEFT's format (`model/` after full fine-tuning), `metrics.jsonl`,
    `rollouts.jsonl`, `times.jsonl`, `tensorboard/`, `checkpoints/`, `store.sqlite`, `day.txt`, `training.json`, and in `kept/`
    every `keep_every`-th step as `adapter/` is at the end (see `remid_jax.roles.training_runs`). Where it holds checkpoints of
    the same run (see `remid_jax.identity`), that goes on from the last one, bit for bit, on whatever devices there are.

    `progress` hears of the stages "draw" and "train". `stopping` is asked after every step and while replies are drawn.

    Raises:
      Stopped: if `stopping()` said so; what was done is saved.
      UserError: for settings that mean nothing, inputs that cannot be read or used, a `workdir` that holds another run, or a
        loss that is not finite.
    """
    check_settings(config)
    check(config)
    workdir, progress = Path(workdir), progress or Silent()
    workdir.mkdir(parents=True, exist_ok=True)
    inputs = open_inputs(config, workdir)
    adapter = beginning(config, inputs.base)
    estimator = inputs.model(config.estimator.model)
    estimator_adapter = read_policy_adapter(config.estimator.adapter, estimator) if config.estimator.adapter else None
    records = read_records(config.benchmark.source, config.benchmark.manifest)
    reasoning = read_reasoning(config.reasoning, records) if config.reasoning else None
    data = fitting(config, inputs, records, reasoning)
    identity = identify(
        config.to_dict(),
        {
            "model": inputs.base.fingerprint,
            "adapter": adapter.fingerprint if adapter and config.adapter else None,
            "estimator.model": estimator.fingerprint if config.estimator.model else None,
            "estimator.adapter": estimator_adapter.fingerprint if estimator_adapter else None,
            "prompts": inputs.prompts.fingerprint,
            "benchmark.source": content_of(records),
            "benchmark.manifest": file_content(config.benchmark.manifest),
            "reasoning": reasoning_content(config.reasoning) if config.reasoning else None,
            "the records as the model reads them": content_of(data),
        },
        {"kernel": KERNEL_VERSION},
    )
    lengths = {"tokens_per_step": config.devices.tokens_per_step, "max_row": config.devices.max_row}
    learner = adapted(inputs.base, adapter) if adapter else inputs.base
    start = Start(
        learner, data, inputs.devices, Store(workdir / "store.sqlite"), seed=config.seed, **config.rollouts, **lengths
    )
    optimizer = adamw(steps=config.steps, **config.optimizer)
    trainer = Trainer(learner, objective_of(config), optimizer, inputs.devices, seed=config.seed, **lengths)
    judge = start.scoring(inputs.base)
    asked = adapted(estimator, estimator_adapter) if estimator_adapter else estimator
    responder = judge if asked is inputs.base else start.scoring(asked)
    resources = Resources(inputs.prompts, data.records, judge, responder)
    recipe, count = lessons(config, start, resources, Heeding(progress, stopping, Stopped(0, config.steps)))
    feed = Feed(count, config.batch, config.seed)
    phase = Phase(config.method, LEARNER, trainer, feed, config.steps, lambda models: recipe)
    base = inputs.base
    training = TrainingRun(workdir, "adapter" if adapter else "model", base.fingerprint, base.source, config.steps)
    kept = KeptSteps(training, config.keep_every, lambda folder, step, models: write(folder, models[LEARNER], base))
    checkpoints = Checkpoints(workdir / "checkpoints")
    begun = checkpoints.latest or 0
    with progress.stage("train", unit="steps") as advance:
        trained = run(
            [phase], checkpoints, lambda step: Journal(workdir, step), identity, config.save_every,
            stopping=stopping, report=lambda done, total, phase, metrics: advance(done - begun, total - begun), kept=kept,
        )[LEARNER]  # fmt: skip
    ended = on_this_host(trained)
    if is_first_host():
        write(training.end, ended, base)
    return Trained(trained, training.end, identity)


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that do not go together."""
    if config.method not in METHODS:
        raise UserError(f"config.method={config.method!r}: choose one of {', '.join(METHODS)}")
    if config.thinking and not config.reasoning and METHODS[config.method].golden:
        raise UserError('config.thinking learns from reasoning: name a JSONL of {"sample_ID", "reasoning"} as config.reasoning')
    if config.augment and config.reasoning:
        raise UserError("config.augment makes records that config.reasoning has no reasoning for: give one of the two")
    fewest = 2 if config.method == "grpo" else 1  # a group of one has nobody to compare with
    if config.rollouts.draws < fewest or config.rollouts.max_new < 1 or config.rollouts.rows < 1:
        raise UserError(f"config.rollouts: {config.rollouts.to_dict()}: draws at least {fewest}, max_new and rows at least 1")


def beginning(config: ConfigDict, base: LanguageModel) -> Adapter | None:
    """Returns the adapter that learns, as it begins: the given one or a fresh one; None where the base itself learns."""
    c = config.lora
    if config.adapter:
        return read_policy_adapter(config.adapter, base)
    if c.rank == 0:
        return None
    lora = LoRAConfig(c.rank, c.alpha, tuple(c.targets), c.dropout)
    check_config(lora, "config.lora")
    return fresh(base.config, lora, config.seed)


def objective_of(config: ConfigDict) -> Objective:
    """Returns what the method minimises.

    Raises:
      UserError: for a setting of its loss that means nothing.
    """
    if config.method == "dpo":
        return Preference(config.preference.beta)
    if config.method == "grpo":
        return GroupRelative(PolicyLoss(max_tokens=config.rollouts.max_new, **config.loss))
    return Likelihood()


def read_records(source: str, manifest: str | None = None) -> list[Record]:
    """Returns the records of the training split; `manifest` is a file that says which these are (docs/formats.md).

    Raises:
      UserError: if there is none.
    """
    records = read_training(source, manifest=manifest)
    if not records:
        raise UserError(f"{source}: holds no IDTrain record, nor one of the training tag of a manifest: training needs some")
    return records


def fitting(config: ConfigDict, inputs: Inputs, records: Sequence[Record], reasoning: Mapping[str, str] | None) -> Data:
    """Returns what is learnt from, as far as it is no longer than the config allows.

    Raises:
      UserError: if that is too little for a batch, or if the base has no chat template.
    """
    tokenizer = tokenizer_of(inputs.base)
    if not tokenizer.has_chat_template:
        raise UserError(f"{inputs.base.source}: {tokenizer.chat.lack}, which role-playing prompts need: use a chat model")
    if config.augment:
        records = augmented(records, config.seed)
    asked = asked_of(records, inputs.prompts, tokenizer, config.thinking, reasoning)
    learns = METHODS[config.method].golden
    fits = [len(prompt.ids) <= config.max_prompt for prompt in asked]
    examples = []
    if learns:
        examples = golden_examples(records, inputs.prompts, tokenizer, reasoning if config.thinking else None)
        fits = [fit and len(example.answer) <= config.max_answer for fit, example in zip(fits, examples, strict=True)]
    if sum(fits) < config.batch:
        raise UserError(
            f"{config.benchmark.source}: {sum(fits)} of {len(records)} IDTrain records fit "
            f"config.max_prompt={config.max_prompt} and config.max_answer={config.max_answer}, fewer than "
            f"config.batch={config.batch}: raise the limits or lower the batch"
        )
    kept = [n for n, fit in enumerate(fits) if fit]
    return Data([records[n] for n in kept], [asked[n] for n in kept], [examples[n] for n in kept] if learns else [])


def lessons(config: ConfigDict, start: Start, resources: Resources, progress: Reports) -> tuple[Recipe, int]:
    """Returns the method's recipe, and of how many records it is. Replies that it draws before it begins stay in the store.

    Raises:
      UserError: for rewards that mean nothing, or if fewer than a batch could be rewarded.
    """
    method, rewards = METHODS[config.method], None
    if method.rewarded:
        rewards = make_rewards(config.rewards.to_dict(), resources, config.reward_settings.to_dict())
    penalised = config.loss.penalty_weight > 0
    if not method.drawn:
        return recipe_of(config.method, start, rewards, penalised)
    with progress.stage("draw") as advance:
        recipe, count = recipe_of(config.method, start, rewards, penalised, advance)
    if count < config.batch:
        raise UserError(f"{count} records have a reward that is a number, fewer than config.batch={config.batch}: lower it")
    return recipe, count


def write(folder: Path, trained: LanguageModel, base: LanguageModel) -> None:
    """Writes the adapter, or all of a model that has none."""
    if trained.added is not None:
        save_adapter(folder, adapter_of(trained), base)
    else:
        save_model(folder, base.config, trained.params, base.tokenizer, base.end_ids)
