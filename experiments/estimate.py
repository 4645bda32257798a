"""Estimates from stored log-likelihood matrices alone: see configs/estimate.py."""

from __future__ import annotations

import json
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimate
from remid_jax.files import write_text
from remid_jax.parallel import Devices
from remid_jax.reporting import estimated, terminal
from remid_jax.settings import check_settings

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.input:
        raise UserError("config.input is not set: give the score table, --config.input=SCORES.npz")
    output = config.output or workdir / "estimates.json"
    check_output(output, "config.output")
    cli.use_compilation_cache()
    results = estimate(config.input, devices=Devices(config.parallel), **config.settings)
    write_text(output, json.dumps(results, indent=1, allow_nan=False) + "\n")
    console = Console(width=max(120, Console().width) if not Console().is_terminal else None)
    console.print(*results["verdict"]["sentences"], sep="\n", markup=False, highlight=False, emoji=False)
    console.print(terminal.drawn(estimated.table(results)))


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
