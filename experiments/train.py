"""Trains a role-playing policy, on a LoRA adapter or in full.

    python -m experiments.train --config=configs/policy_sft.py

Killed or sent SIGTERM, it goes on from its last checkpoint when the same command is run again. Writes to the workdir:
`adapter/` (PEFT's format; `model/` after full fine-tuning), `metrics.jsonl`, `times.jsonl`, `training.html`, `tensorboard/`,
`checkpoints/`.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from experiments import cli
from experiments.progress import Stages
from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_training
from remid_jax.errors import UserError
from remid_jax.learning.feed import Feed
from remid_jax.learning.journal import Journal
from remid_jax.learning.loop import Phase, Stopped, run
from remid_jax.learning.objectives import Likelihood
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.policies import golden_examples
from remid_jax.learning.supervised import Example, LikelihoodRecipe
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import Adapter, adapted, check_config, fresh, read_adapter, save_adapter
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.models.saving import save_model
from remid_jax.parallel import Devices, is_first_host
from remid_jax.reporting.training import write_training_report
from remid_jax.scoring.texts import tokenizer_of

METHODS = ("sft",)


def main(config: ConfigDict, workdir: Path) -> None:
    if config.method not in METHODS:
        raise UserError(f"config.method={config.method!r}: choose one of {', '.join(METHODS)}")
    cli.use_compilation_cache()
    devices = Devices("mesh", config.devices.mesh_model)
    model = open_model(config.model, config.dtype, devices.parameter_mesh)
    examples = read_examples(config, model)
    learner = begin(config, model)
    optimizer = adamw(steps=config.steps, **config.optimizer)
    trainer = Trainer(
        learner, Likelihood(), optimizer, devices, config.devices.tokens_per_step, config.devices.max_row, config.seed
    )
    feed = Feed(len(examples), config.batch, config.seed)
    phase = Phase(config.method, "policy", trainer, feed, config.steps, lambda models: LikelihoodRecipe(examples))
    identity = {
        "base": model.fingerprint,
        "data": hashlib.sha256(repr(examples).encode()).hexdigest(),
        "config": hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest(),
    }
    stages, stopping = Stages(Console(stderr=True, quiet=not is_first_host())), asked_to_stop()
    try:
        with stages.stage("train", unit="steps") as advance:

            def report(done: int, total: int, row: Mapping[str, Any]) -> None:
                advance(done, total)

            trained = run(
                [phase], Checkpoints(workdir / "checkpoints"), lambda start: Journal(workdir, start), identity,
                config.save_every, stopping=stopping, report=report,
            )["policy"]  # fmt: skip
    except Stopped as stop:
        stages.console.print(f"stopped after step {stop.step} of {config.steps}, saved: run the same command again to go on")
        return
    write(config, workdir, trained, model)
    stages.console.print(f"trained: {workdir / ('adapter' if config.lora.rank else 'model')}", highlight=False)
    if is_first_host():
        about = {"model": config.model, "method": config.method, "config": config.to_dict()}
        stages.console.print(f"report: {write_training_report(workdir, about)}", highlight=False)


def read_examples(config: ConfigDict, model: LanguageModel) -> list[Example]:
    """The training split's prompts and golden replies that fit.

    Raises:
      UserError: if too few are left for a batch.
    """
    tokenizer = tokenizer_of(model)
    if not tokenizer.has_chat_template:
        raise UserError(f"{model.source}: has no chat template, which role-playing prompts need: use a chat model")
    train = read_training(config.benchmark.source)
    examples = golden_examples(train, Prompts.load(config.prompts), tokenizer)
    fitting = [of for of in examples if len(of.prefix) <= config.max_prompt and len(of.answer) <= config.max_answer]
    if len(fitting) < config.batch:
        raise UserError(
            f"{config.benchmark.source}: {len(fitting)} of {len(train)} IDTrain records fit config.max_prompt="
            f"{config.max_prompt} and config.max_answer={config.max_answer}, fewer than config.batch={config.batch}: raise the "
            "limits or lower the batch"
        )
    return fitting


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


def asked_to_stop():
    """Whether SIGTERM has come, from now on."""
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    return lambda: bool(came)


def write(config: ConfigDict, workdir: Path, trained: LanguageModel, base: LanguageModel) -> None:
    if trained.added is not None and trained.config.adapter is not None:
        save_adapter(workdir / "adapter", Adapter(trained.config.adapter, trained.added), base)
    else:
        save_model(workdir / "model", base.config, trained.params, base.tokenizer)


if __name__ == "__main__":
    cli.run(main)
