"""R-EMID of a role-playing model: reason -> respond -> score -> embed -> estimate -> report.

    python -m experiments.evaluate --config=configs/quickstart.py

Your own model: --config.policy.model=DIRECTORY_OR_HUB_ID. Ready replies of any model: --config.policy.replies=FILE.jsonl.
Writes to the workdir: results.json, samples.parquet, scores.npz, figures/, report.html, run.json (times and counts),
finished.json (what they are of: where nothing of it has changed, the same command only shows the summary again).
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.evaluation.finished import identity_of, is_finished, keep
from remid_jax.files import read_object
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports
from remid_jax.reporting import terminal
from remid_jax.roles.reading import Reading, reading_of

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    cli.use_compilation_cache()
    progress, reading = cli.progress(), reading_of(config, workdir)
    identity = identity_of(config, reading)
    if identity and is_finished(workdir, identity):
        progress.say(f"nothing to do: {workdir} is finished, and nothing that it depends on has changed")
    else:
        outputs = compute(config, workdir, reading, progress)
        if identity and identity == identity_of(config, reading):  # nothing has changed meanwhile
            keep(workdir, identity, outputs)
    if not is_first_host():
        return
    results = read_object(workdir / "results.json", "evaluate again")
    Console(width=max(100, Console().width) if not Console().is_terminal else None).print(terminal.summary(results))
    progress.say(f"report: {workdir / 'report.html'}   data: {workdir / 'results.json'}")


def compute(config: ConfigDict, workdir: Path, reading: Reading, progress: Reports) -> list[Path]:
    """Evaluates, and returns the files that it wrote to `workdir`; of several hosts the first writes."""
    # Not above: a finished run is told without what computes and draws.
    from remid_jax.evaluation.evaluate import evaluate_config
    from remid_jax.evaluation.first_look import take_first_look
    from remid_jax.scoring.store import Store

    store = Store(config.store or workdir / "store.sqlite")
    is_early = config.first_look and not (workdir / "results.json").exists()
    given = take_first_look(config, store, reading, progress) if is_early else None
    evaluation = evaluate_config(config, store, reading, progress, given)
    return evaluation.save(workdir, progress) if is_first_host() else []


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
