"""Where this program keeps what it can make again: compiled programs, digests of weight files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

NAME = "remid_jax"


def cache_folder(kind: str) -> Path | None:
    """A folder for caches of this kind, made if need be; None where there is none to write to, which costs time alone.

    It is `$XDG_CACHE_HOME/remid_jax/KIND`, by default `~/.cache/remid_jax/KIND`. Where there is no home, or it takes no files,
    it is `remid_jax-UID/KIND` in the folder for temporary files.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    base = base if os.path.isabs(base) else os.path.expanduser("~/.cache")  # stays relative where nobody knows the home
    if os.path.isabs(base) and _made(own := Path(base, NAME, kind)):
        return own
    try:
        mine = Path(tempfile.gettempdir(), f"{NAME}-{os.getuid()}")
    except OSError:  # there is no such folder either
        return None
    # Compiled programs are run as they are found: nobody else may have put them there.
    if _made(mine) and not mine.is_symlink() and mine.stat().st_uid == os.getuid() and _made(mine / kind):
        return mine / kind
    return None


def _made(folder: Path) -> bool:
    """Whether the folder is there, or could be made, and takes files."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
