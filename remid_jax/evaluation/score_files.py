"""Score tables as `.npz` files; their layout stands in `remid_jax.information.score_arrays`."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from remid_jax.errors import UserError
from remid_jax.files import write_bytes
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import ScoreTable


def read_scores(path: str | os.PathLike[str]) -> ScoreTable:
    """Reads the score table in an `.npz` file.

    Raises:
      UserError: the file is missing or no `.npz`, or its contents do not fit the layout (all faults at once).
    """
    faults: list[str] = []
    return parse(_read(path, faults), str(path), faults)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file that `write_scores` wrote.

    Raises:
      UserError: the file is missing, no `.npz` or broken.
    """
    faults: list[str] = []
    arrays = _read(path, faults)
    if faults:
        raise UserError(f"{path}: {'; '.join(faults)}: evaluate again")
    return arrays


def _read(path: str | os.PathLike[str], faults: list[str]) -> dict[str, np.ndarray]:
    """The arrays that can be read, and the faults of the others."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file: give the .npz that an evaluation wrote as config.input")
    try:
        stored = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):
        stored = None
    if not isinstance(stored, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: not an .npz of arrays: give the score table that an evaluation wrote")
    arrays = {}
    with stored:
        for name in stored.files:
            try:
                arrays[name] = stored[name]
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                faults.append(f"{name} cannot be read ({str(error).splitlines()[0]})")
    return arrays


def write_scores(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays of a score table; the file is there whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(Path(path), buffer.getvalue())
