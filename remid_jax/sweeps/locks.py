"""One process at a time computes a point in a folder, runs a sweep, or writes an index: by locks that the system takes back
when their holder ends, however."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from remid_jax.disk import writing
from remid_jax.errors import UserError

LOCK = "point.lock"
EVERY = 0.2  # seconds between two tries
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of a file system that has none


@contextlib.contextmanager
def claimed(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the folder, once others have let go of it; `waiting` is called before a wait, if there is one.

    Raises:
      UserError: if the folder cannot be written to.
    """
    with held(folder / LOCK, waiting):
        yield


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock `path` in the same way.

    Raises:
      UserError: if it cannot be written.
    """
    with writing(path):
        file = path.open("ab")
    with file:
        if not _taken(file, fcntl.LOCK_EX):
            waiting()
            while not _taken(file, fcntl.LOCK_EX):
                time.sleep(EVERY)
        yield


@contextlib.contextmanager
def alone(path: Path, work: str) -> Iterator[None]:
    """Holds the lock `path` for `work` of which there may be one at a time.

    Raises:
      UserError: if another process holds it, or it cannot be written.
    """
    with writing(path):
        file = path.open("ab")
    with file:
        if not _taken(file, fcntl.LOCK_EX):
            raise UserError(f"{path}: another process {work}: let it end, or stop it")
        yield


@contextlib.contextmanager
def sweeping(output: str | Path) -> Iterator[None]:
    """Holds the sweep of the index `output`, to run or to merge it, whatever the workdir.

    Raises:
      UserError: as `alone`.
    """
    with alone(_beside(output, "lock"), f"runs or merges the sweep of {output}"):
        yield


@contextlib.contextmanager
def keeping(output: str | Path) -> Iterator[None]:
    """Holds the index `output`, to write it; a keeper whose driver was killed may live a moment longer, and is waited for.

    Raises:
      UserError: as `held`.
    """
    with held(_beside(output, "keeper.lock"), lambda: None):
        yield


def is_claimed(folder: Path) -> bool:
    """Returns whether a process that runs now holds the folder."""
    try:
        with (folder / LOCK).open("rb") as file:
            return not _taken(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _beside(output: str | Path, kind: str) -> Path:
    return Path(f"{Path(output).resolve()}.{kind}")


def _taken(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
