"""Runs the points of a sweep that are not done, and sets all that are done side by side.

    python -m experiments.sweep --config=configs/sweeps/policies.py

What is done stands in `config.output`, with every number; its tables in `config.page`. Killed, it goes on when the same command
is run again. `--config.only="('evaluate/*',)"` runs some points, `--config.only_tables=True` none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.disk import check_output
from remid_jax.files import write_text
from remid_jax.learning.loop import Stopped
from remid_jax.reporting import terminal
from remid_jax.settings import check_settings
from remid_jax.sweeps import tables
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Surroundings, planned
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.tasks import TASKS, VERSIONS

from . import cli, hosts
from .stopping import GO_ON, Saving, end


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("output", "page"):
        check_output(config[name], f"config.{name}")
    sweep, progress = config.sweep(config), cli.progress()
    plan = planned(sweep.points, TASKS, VERSIONS)
    index, names = Index(config.output, plan), chosen(plan.points, config.only)

    def write_page() -> None:
        write_text(config.page, tables.page(sweep, index))

    write_page()
    if not config.only_tables:
        cli.use_compilation_cache()
        try:
            run_serially(plan, index, names, workdir, Surroundings(progress, saving), write_page)
        except Stopped as stop:
            end(f"{stop}, saved: {GO_ON}")
    console = Console(width=max(160, Console().width) if not Console().is_terminal else None)
    console.print(*(terminal.drawn(tables.table(layout, index)) for layout in sweep.layouts))
    progress.say(f"tables: {config.page}   data: {config.output}")


@contextlib.contextmanager
def saving() -> Iterator[Callable[[], bool]]:
    """Within, a signal only lets the run end when it has saved."""
    with Saving() as asked:
        yield hosts.on_any(asked.asked)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
