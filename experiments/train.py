"""Trains a role-playing policy, on a LoRA adapter or in full.

    python -m experiments.train --config=configs/policy_sft.py

One config for each way of learning: configs/policy_*.py. Killed or sent SIGTERM, it goes on from its last checkpoint when the
same command is run again. Writes to the workdir: `adapter/` (PEFT's format; `model/` after full fine-tuning), `metrics.jsonl`,
`rollouts.jsonl` (replies drawn, and their rewards), `times.jsonl`, `training.html`, `tensorboard/`, `checkpoints/`,
`store.sqlite`, and in `kept/` every `config.keep_every`-th step, which evaluations take as WORKDIR@STEP.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.learning.loop import Stopped
from remid_jax.learning.policy_training import train
from remid_jax.parallel import is_first_host
from remid_jax.reporting.training import write_training_report

from . import cli, hosts
from .stopping import GO_ON, Saving, end


def main(config: ConfigDict, workdir: Path) -> None:
    cli.use_compilation_cache()
    progress = cli.progress()
    try:
        with Saving() as saving:
            trained = train(config, workdir, progress, hosts.on_any(saving.asked))
    except Stopped as stop:
        end(f"{stop}, saved: {GO_ON}")
    progress.say(f"trained: {trained.folder}")
    if is_first_host():
        about = {"model": config.model, "method": config.method, "config": config.to_dict()}
        progress.say(f"report: {write_training_report(workdir, about)}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
