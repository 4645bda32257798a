"""Every bound on EMID on finite worlds given as arrays: see configs/bounds.py."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.files import write_bytes
from remid_jax.parallel import Devices
from remid_jax.settings import check_settings
from remid_jax.theory.bounds.on_worlds import CERTIFIED, every_bound, tightness
from remid_jax.theory.worlds import World, from_arrays, in_blocks

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("worlds", "output"):
        if not config[name]:
            raise UserError(f"config.{name} is not set: give --config.{name}=FILE.npz")
    check_output(config.output, "config.output")
    worlds = read_worlds(config.worlds)
    cli.use_compilation_cache()
    stages = cli.progress()
    with jax.enable_x64(True), stages.stage("bounds", unit="worlds") as advance:
        devices = Devices(config.parallel)
        found = in_blocks(lambda world: every_bound(world, config.terms), worlds, devices, config.block, advance)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **found)
    write_bytes(config.output, buffer.getvalue())
    show(found, Console(width=None if sys.stdout.isatty() else 120))


def read_worlds(path: str) -> World:
    """The batch of worlds in an .npz file.

    Raises:
      UserError: if there is no such file, it is no .npz, or holds no worlds.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file: give an .npz of worlds as config.worlds")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return from_arrays(dict(stored), path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not an .npz of arrays ({str(error).splitlines()[0]}): write it with numpy.savez") from error


def show(found: Mapping[str, np.ndarray], console: Console) -> None:
    """How near each bound comes, and whether any fails."""
    table = Table(title=f"{len(found['emid']):,} worlds: EMID / bound where EMID > 0.001 nats")
    for column in ("bound", "worlds", "median", "95%", "highest", "violations"):
        table.add_column(column, justify="left" if column == "bound" else "right")
    for name, row in tightness(found).items():
        figures = [f"{row[key]:.3f}" if row["worlds"] else "-" for key in ("median", "q95", "highest")]
        table.add_row(name if name in CERTIFIED else f"{name} (no bound)", str(row["worlds"]), *figures, str(row["violations"]))
    console.print(table)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
