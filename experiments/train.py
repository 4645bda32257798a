"""Trains a role-playing policy, on a LoRA adapter or in full.

    python -m experiments.train --config=configs/policy_sft.py

One config for each way of learning: configs/policy_*.py. Killed or sent SIGTERM, it goes on from its last checkpoint when the
same command is run again. Writes to the workdir: `adapter/` (PEFT's format; `model/` after full fine-tuning), `metrics.jsonl`,
`rollouts.jsonl` (replies drawn, and their rewards), `times.jsonl`, `training.html`, `tensorboard/`, `checkpoints/`,
`store.sqlite`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_reasoning, read_training
from remid_jax.errors import UserError
from remid_jax.learning.augmentation import augmented
from remid_jax.learning.feed import Feed
from remid_jax.learning.journal import Journal
from remid_jax.learning.loop import Phase, Recipe, Stopped, run
from remid_jax.learning.objectives import GroupRelative, Likelihood, Objective, Preference
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.policies import METHODS, Data, Start, asked_of, golden_examples, recipe_of
from remid_jax.learning.rewards import Rewards, make_rewards
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import Adapter, adapted, check_config, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.models.peft_files import read_adapter, save_adapter
from remid_jax.models.saving import save_model
from remid_jax.parallel import Devices, is_first_host
from remid_jax.progress import Reports
from remid_jax.reporting.training import write_training_report
from remid_jax.roles.reading import Reading, reading_of, template_settings
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of
from remid_jax.settings import check_settings, flat

from . import cli, hosts
from .stopping import GO_ON, Saving, end


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    check(config)
    cli.use_compilation_cache()
    devices = Devices("mesh", config.devices.mesh_model)
    reading, template = reading_of(config, workdir), template_settings(config.template, "config.template")
    opened, prompts = open_model(config.model, config.dtype, devices.parameter_mesh), Prompts.load(config.prompts)
    model = read_as(opened, thinking=False, template=template, **reading)
    estimator = open_estimator(config, model, devices, reading)
    data = read_data(config, model, prompts)
    learner = begin(config, model)
    optimizer, objective = adamw(steps=config.steps, **config.optimizer), objective_of(config)
    start = Start(
        learner, data, devices, Store(workdir / "store.sqlite"), seed=config.seed, **config.rollouts, **lengths(config)
    )
    trainer = Trainer(learner, objective, optimizer, devices, seed=config.seed, **lengths(config))
    identity = {
        "base": model.fingerprint,
        "beginning": learner.fingerprint,
        "estimator": estimator.fingerprint,
        "prompts": prompts.fingerprint,
        "data": hashlib.sha256(repr(data).encode()).hexdigest(),
        "settings": flat(config),
    }
    stages = cli.progress()
    try:
        with Saving() as saving:
            stopping = hosts.on_any(saving.asked)
            recipe, count = lessons(config, start, model, estimator, prompts, stages, stopping)
            phase = Phase(
                config.method, "policy", trainer, Feed(count, config.batch, config.seed), config.steps, lambda _: recipe
            )
            with stages.stage("train", unit="steps") as advance:
                trained = run(
                    [phase], Checkpoints(workdir / "checkpoints"), lambda start: Journal(workdir, start), identity,
                    config.save_every, stopping=stopping, report=lambda done, total, row: advance(done, total),
                )["policy"]  # fmt: skip
    except Stopped as stop:
        end(f"stopped after step {stop.step} of {config.steps}, saved: {GO_ON}")
    write(config, workdir, trained, model)
    where = workdir / ("adapter" if config.lora.rank else "model")
    stages.say(f"trained: {where}")
    if is_first_host():
        about = {"model": config.model, "method": config.method, "config": config.to_dict()}
        stages.say(f"report: {write_training_report(workdir, about)}")


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


def lengths(config: ConfigDict) -> dict[str, int]:
    return {"tokens_per_step": config.devices.tokens_per_step, "max_row": config.devices.max_row}


def objective_of(config: ConfigDict) -> Objective:
    """What the method minimises.

    Raises:
      UserError: for a setting of its loss that means nothing.
    """
    if config.method == "dpo":
        if not config.preference.beta > 0:
            raise UserError(f"config.preference.beta={config.preference.beta}: must be positive")
        return Preference(config.preference.beta)
    if config.method == "grpo":
        return GroupRelative(PolicyLoss(max_tokens=config.rollouts.max_new, **config.loss))
    return Likelihood()


def open_estimator(config: ConfigDict, model: LanguageModel, devices: Devices, reading: Reading) -> LanguageModel:
    """The frozen model of rewards that read likelihoods: by default the base, which is the judge, too."""
    c, mesh = config.estimator, devices.parameter_mesh
    base = read_as(open_model(c.model, config.dtype, mesh), thinking=False, **reading) if c.model else model
    return adapted(base, read_adapter(c.adapter, base)) if c.adapter else base


def read_data(config: ConfigDict, model: LanguageModel, prompts: Prompts) -> Data:
    """What the training split has that fits.

    Raises:
      UserError: if there is nothing, or too little for a batch.
    """
    tokenizer = tokenizer_of(model)
    if not tokenizer.has_chat_template:
        raise UserError(f"{model.source}: {tokenizer.chat.lack}, which role-playing prompts need: use a chat model")
    source = config.benchmark.source
    train = read_training(source)
    if not train:
        raise UserError(f"{source}: holds no IDTrain record: training needs records of that subset_tag")
    reasoning = read_reasoning(config.reasoning, train) if config.reasoning else None
    if config.augment:
        train = augmented(train, config.seed)
    asked = asked_of(train, prompts, tokenizer, config.thinking, reasoning)
    learns = METHODS[config.method].golden
    examples = golden_examples(train, prompts, tokenizer, reasoning if config.thinking else None) if learns else []
    fits = [len(of.ids) <= config.max_prompt for of in asked]
    if learns:
        fits = [fit and len(of.answer) <= config.max_answer for fit, of in zip(fits, examples, strict=True)]
    if sum(fits) < config.batch:
        raise UserError(
            f"{source}: {sum(fits)} of {len(train)} IDTrain records fit config.max_prompt={config.max_prompt} and "
            f"config.max_answer={config.max_answer}, fewer than config.batch={config.batch}: raise the limits or lower the "
            "batch"
        )
    kept = [n for n, fit in enumerate(fits) if fit]
    return Data([train[n] for n in kept], [asked[n] for n in kept], [examples[n] for n in kept] if learns else [])


def lessons(
    config: ConfigDict, start: Start, model: LanguageModel, estimator: LanguageModel, prompts: Prompts, stages: Reports,
    stopping: Callable[[], bool],
) -> tuple[Recipe, int]:  # fmt: skip
    """The method's recipe, and of how many records it is.

    Raises:
      Stopped: if the run was asked to stop while replies were drawn; those drawn by then stay in the store.
      UserError: if fewer than a batch could be rewarded.
    """
    method = METHODS[config.method]
    rewards = rewards_of(config, start, model, estimator, prompts) if method.rewarded else None
    penalised = config.loss.penalty_weight > 0
    if not method.drawn:
        return recipe_of(config.method, start, rewards, penalised)
    with stages.stage("draw") as advance:

        def report(done: int, total: int) -> None:
            advance(done, total)
            if stopping():
                raise Stopped(0)

        recipe, count = recipe_of(config.method, start, rewards, penalised, report)
    if count < config.batch:
        raise UserError(f"{count} records have a reward that is a number, fewer than config.batch={config.batch}: lower it")
    return recipe, count


def rewards_of(config: ConfigDict, start: Start, model: LanguageModel, estimator: LanguageModel, prompts: Prompts) -> Rewards:
    """The rewards by name; the judge is the model without an adapter."""
    resources: dict[str, object] = {"prompts": prompts, "records": start.data.records, "judge": start.scoring(model)}
    resources["responder"] = resources["judge"] if estimator is model else start.scoring(estimator)
    return make_rewards(config.rewards.to_dict(), resources, config.reward_settings.to_dict())


def begin(config: ConfigDict, model: LanguageModel) -> LanguageModel:
    """The learner before its first step: a fresh or given adapter on the model, or the model itself."""
    c = config.lora
    if config.adapter:
        return adapted(model, read_adapter(config.adapter, model))
    if c.rank == 0:
        return model
    lora = LoRAConfig(c.rank, c.alpha, tuple(c.targets), c.dropout)
    check_config(lora, "config.lora")
    return adapted(model, fresh(model.config, lora, config.seed))


def write(config: ConfigDict, workdir: Path, trained: LanguageModel, base: LanguageModel) -> None:
    if trained.added is not None and trained.config.adapter is not None:
        save_adapter(workdir / "adapter", Adapter(trained.config.adapter, trained.added), base)
    else:
        save_model(workdir / "model", base.config, trained.params, base.tokenizer)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
