"""Runs the points of a sweep that are not done, and sets all that are done side by side.

    python -m experiments.sweep --config=configs/sweeps/policies.py

What is done stands in `config.output`, with every number; its tables in `config.page`. Killed, it goes on when the same command
is run again. `--config.only="('evaluate/*',)"` runs some points, `--config.only_tables=True` none; `--config.list=True` shows
where each stands, `--config.dry_run=True` also what it will take; `--config.retry_failed=True` runs those again that failed.
`--config.launcher=ray` runs them side by side, `--config.shard=2/3` runs a share of them, `--config.merge=True` joins shares.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.disk import check_output, remove_leftovers
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.learning.stopped import Stopped
from remid_jax.progress import Reports
from remid_jax.reporting import terminal
from remid_jax.reporting.cells import Table
from remid_jax.settings import check_settings
from remid_jax.sweeps import locks, shards, states, tables, work
from remid_jax.sweeps.attempts import Outcome
from remid_jax.sweeps.cluster import connection
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.layouts import Sweep
from remid_jax.sweeps.pace import Pace
from remid_jax.sweeps.plan import Plan, Surroundings, planned
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.tasks import TASKS, VERSIONS

from . import cli, hosts, stopping
from .stopping import GO_ON, Saving, end

LAUNCHERS = ("serial", "ray")


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if config.launcher not in LAUNCHERS:
        raise UserError(f"config.launcher={config.launcher!r}: choose one of {', '.join(LAUNCHERS)}")
    if config.hosts is not None and (config.launcher != "ray" or config.hosts < 2):
        raise UserError(f"config.hosts={config.hosts}: two or more hosts run a point together with --config.launcher=ray alone")
    shard = shards.read_shard(config.shard) if config.shard else None
    output = shard.path(config.output) if shard else config.output
    for name, path in (("output", output), ("page", config.page)):
        check_output(path, f"config.{name}")
    sweep, progress = config.sweep(config), cli.progress()
    plan = planned(sweep.points, TASKS, VERSIONS)
    if config.merge:
        index, count = shards.merge(config.output, plan)
        progress.say(f"{count} shards joined in {config.output}")
    else:
        index = Index(output, plan, beside=[config.output] if shard else [])
    names = chosen(plan.points, config.only)
    names = shard.share(names) if shard else names
    if config.list or config.dry_run:
        standings = states.states(plan, index, names, workdir, config.retry_failed)
        show([states.expected(standings, index) if config.dry_run else states.listed(standings, index)])
        return
    if shard is None:
        write_text(config.page, tables.page(sweep, index))
    outcome = None
    if not config.only_tables and not config.merge:
        outcome = launch(config, sweep, plan, index, names, workdir, progress)
    if shard is None:
        write_text(config.page, tables.page(sweep, index))
    show([tables.table(layout, index) for layout in sweep.layouts])
    progress.say(f"tables: {config.page}   data: {output}" if shard is None else f"data: {output}")
    if outcome is not None:
        conclude(outcome, progress)


def launch(
    config: ConfigDict, sweep: Sweep, plan: Plan, index: Index, names: list[str], workdir: Path, progress: Reports
) -> Outcome:
    """Runs the points; the page follows what is entered, at a pace. A shard leaves it to the merge."""
    output, pace = Path(index.places[0]), Pace()

    def entered(index: Index) -> None:
        if not config.shard:
            pace(lambda: write_text(config.page, tables.page(sweep, index)))

    cli.use_compilation_cache()
    surroundings = Surroundings(progress, saving)
    with locks.sweeping(output):
        remove_leftovers(output.parent, output.name)
        if config.launcher == "ray":
            with connection.connected(config):
                stopping.heed_signals()  # Ray puts a handler of its own in the place of ours
                from remid_jax.sweeps.cluster.launcher import run_on_ray

                return run_on_ray(plan, index, names, workdir, surroundings, config, config.retry_failed, entered)
        try:
            with locks.keeping(output):
                index.refresh()  # others may have entered more before they let go of it
                return run_serially(plan, index, names, workdir, surroundings, config.retry_failed, entered)
        except Stopped as stop:
            end(f"{stop}, saved: {GO_ON}")


def show(shown: list[Table]) -> None:
    """Prints tables."""
    console = Console(width=max(160, Console().width) if not Console().is_terminal else None)
    console.print(*map(terminal.drawn, shown))


def conclude(outcome: Outcome, progress: Reports) -> None:
    """Says what was shared, and what failed.

    Raises:
      UserError: if a point failed.
    """
    if sentence := work.sentence(outcome.work):
        progress.say(sentence)
    for name, failure in outcome.failed.items():
        waits = sum(need == name for need in outcome.waiting.values())
        progress.say(f"failed: {name}: {failure.error} (log: {failure.log}){f'; {waits} points wait for it' if waits else ''}")
    if outcome.failed:
        names = list(outcome.failed)
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise UserError(
            f"{len(names)} of {len(outcome.concerned)} points failed: {shown}: mend what their lines above say, then run the "
            "same command with --config.retry_failed=True"
        )


@contextlib.contextmanager
def saving() -> Iterator[Callable[[], bool]]:
    """Within, a signal only lets the run end when it has saved."""
    with Saving() as asked:
        yield hosts.on_any(asked.asked)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
