"""CoRL: trains an estimator, a reasoner and a responder in turn, a pair of adapters a fold.

    python -m experiments.corl --config=configs/corl_quickstart.py

Killed or sent SIGTERM, it goes on from its last checkpoint when the same command is run again. Writes to the workdir:
`estimator/` (the pairs and their manifest, for --config.estimator.adapters of an evaluation), `controls.json` (whether
reasoning helps, on records that a pair has not seen), in `kept/` every `config.keep_every`-th step of both folds, which
evaluations take as WORKDIR@STEP, and for each fold `metrics.jsonl`, `rollouts.jsonl`, `times.jsonl`, `training.html`,
`tensorboard/`, `checkpoints/`, `store.sqlite`. A teacher may be a model here or behind an endpoint (docs/training.md).
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.learning.estimator_training import train_estimator
from remid_jax.learning.loop import Stopped
from remid_jax.parallel import is_first_host
from remid_jax.reporting.training import write_training_report

from . import cli, hosts
from .stopping import GO_ON, Saving, end


def main(config: ConfigDict, workdir: Path) -> None:
    cli.use_compilation_cache()
    progress = cli.progress()
    try:
        with Saving() as saving:
            trained = train_estimator(config, workdir, progress, hosts.on_any(saving.asked))
    except Stopped as stop:
        end(f"{stop}, saved: {GO_ON}")
    if is_first_host():
        for pair in trained.pairs:
            about = {"model": config.model, "method": f"CoRL, {pair.name}", "config": config.to_dict()}
            write_training_report(workdir / pair.name, about)
        progress.say(f"trained: {trained.folder}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
