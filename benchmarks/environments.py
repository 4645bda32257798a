"""Environments of their own for peers whose packages this one does not need."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def environment(place: Path, needed: Sequence[str]) -> Path:
    """The python of an environment in `place` with the packages needed; it is made if it is missing."""
    python = place / "bin" / "python"
    if not python.is_file():
        venv.create(place, with_pip=True)
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", *needed], check=True)
    return python
