"""Writes a checkpoint of a training run into a folder of its own: an adapter, a model or the pairs of an estimator.

    python -m experiments.export runs/policy_sft --step=24 --folder=adapters/sft24

RUN is the workdir of experiments.train or experiments.corl, STEP one that it kept (config.keep_every); without it the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from remid_jax.errors import UserError
from remid_jax.roles.training_runs import export

from . import cli

_STEP = flags.DEFINE_integer("step", None, "After how many steps of training; by default the last.")
_FOLDER = flags.DEFINE_string("folder", None, "The folder to write; by default exported/STEP in that of the run.")


def main(runs: Sequence[str], step: int | None = None, output: str | None = None) -> None:
    if len(runs) != 1:
        raise UserError(f"{len(runs)} runs given: name one, the workdir of experiments.train or experiments.corl")
    print(export(cli.expanded(runs[0]), step, cli.expanded(output) if output else None))


def start() -> None:
    cli.run_on_arguments(lambda runs: main(runs, _STEP.value, _FOLDER.value))


if __name__ == "__main__":
    start()
