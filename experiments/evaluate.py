"""R-EMID of a role-playing model: reason -> respond -> score -> embed -> estimate -> report.

    python -m experiments.evaluate --config=configs/quickstart.py

Your own model: --config.policy.model=DIRECTORY_OR_HUB_ID. Ready replies of any model: --config.policy.replies=FILE.jsonl.
Writes to the workdir: results.json, samples.parquet, scores.npz, figures/, report.html, run.json (times and counts).
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.evaluation.evaluate import evaluate_config
from remid_jax.evaluation.first_look import take_first_look
from remid_jax.parallel import is_first_host
from remid_jax.reporting import terminal
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    cli.use_compilation_cache()
    progress, store = cli.progress(), Store(config.store or workdir / "store.sqlite")
    reading = reading_of(config, workdir)
    is_early = config.first_look and not (workdir / "results.json").exists()
    given = take_first_look(config, store, reading, progress) if is_early else None
    evaluation = evaluate_config(config, store, reading, progress, given)
    if not is_first_host():
        return
    evaluation.save(workdir, progress)
    Console(width=max(100, Console().width) if not Console().is_terminal else None).print(terminal.summary(evaluation.results))
    progress.say(f"report: {workdir / 'report.html'}   data: {workdir / 'results.json'}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
