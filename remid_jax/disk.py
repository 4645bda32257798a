"""What the machine says when a file cannot be written, as one line for people; and whole files, or none."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from remid_jax.errors import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_TEXT = re.compile(
    "|".join([*map(os.strerror, sorted(NO_ROOM)), "database or disk is full", "disk I/O error", "disk is full"]), re.IGNORECASE
)
_UNFINISHED: set[str] = set()  # files that nobody shall see: removed if the process ends at once


def writing_error(error: BaseException, path: str | Path | None = None) -> UserError | None:
    """What a person is told of an error met in writing `path`; None if the error is about something else.

    A library's own error counts where its text, or that of its cause, names a full disk: not all of them pass on the system's.
    """
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return cause
        if found := _NO_ROOM_TEXT.search(str(cause)):
            named = path or getattr(cause, "filename", None) or "a file"
            return UserError(f"{named}: the disk is full ({found[0]}): make room and run the same command again")
    if isinstance(error, OSError) and error.errno is not None:
        named = path or error.filename or "a file"
        return UserError(f"{named}: cannot be written ({error.strerror}): name a file in a folder you may write to")
    return None


def is_out_of_room(error: BaseException) -> bool:
    """Returns whether a full disk is behind an error, so that whatever else is tried will meet it, too."""
    return any(_NO_ROOM_TEXT.search(str(cause)) for cause in _causes(error))


def database_error(error: sqlite3.Error, path: str | Path) -> UserError:
    """What a person is told of SQLite's error about a score store."""
    if full := writing_error(error, path):
        return full
    text, other = str(error), "name another --workdir or store"
    if "locked" in text or "locking" in text:
        return UserError(f"{path}: is in use by another process ({text}): let that finish, or {other}")
    if "readonly" in text or "authoriz" in text:
        return UserError(f"{path}: may not be written ({text}): {other}, or change its permissions")
    if "unable to open" in text:
        folder = Path(path).parent
        why = "it is a folder" if Path(path).is_dir() else "no permission" if folder.is_dir() else f"no folder {folder}"
        return UserError(f"{path}: cannot be opened ({why}): {other}")
    return UserError(f"{path}: is no score store, or a damaged one ({text}): {other}, or move this file away")


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Around what writes `path`.

    Raises:
      UserError: if the disk is full, or the file may not be written.
    """
    try:
        yield
    except Exception as error:
        if told := writing_error(error, path):
            raise told from error
        raise


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path` to write to. At the end it takes the place of `path`; if anything fails it is removed.

    Raises:
      UserError: as `writing`.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    with writing(path):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
        _UNFINISHED.add(name)
        try:
            os.close(handle)
            yield Path(name)
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        finally:
            _UNFINISHED.discard(name)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Removes what `replacing` left of files of this name when its process was killed; nobody may be writing them now."""
    for leftover in folder.glob(f".{name}.*.part"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def check_output(path: str | Path, setting: str) -> None:
    """Finds out whether `path`, the value of `setting`, can be written, before there is anything to write.

    Raises:
      UserError: if it is a folder, or its folder is missing or closed to us.
    """
    if Path(path).is_dir():
        raise UserError(f"{setting}={path}: is a folder: name a file")
    if is_stream(path):
        return
    parent = Path(os.path.realpath(path)).parent
    if not parent.is_dir():
        raise UserError(f"{setting}={path}: there is no folder {parent}: make it, or name a file in another")
    try:
        with tempfile.NamedTemporaryFile(dir=parent, prefix=".remid_jax."):
            pass
    except OSError as error:
        if error.errno in NO_ROOM:
            raise writing_error(error, path) from error  # type: ignore[misc]  # it has an answer for these
        raise UserError(
            f"{setting}={path}: cannot be written ({error.strerror}): name a file in a folder you may write to"
        ) from error


def is_stream(path: str | Path) -> bool:
    """Whether `path` is written to as it stands: a device, a pipe, or what this process has open already."""
    return open_descriptor(path) is not None or (os.path.exists(path) and not os.path.isfile(path))


def open_descriptor(path: str | Path) -> int | None:
    """The number of the open file that a path like /dev/stdout or /dev/fd/63 stands for."""
    standard = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
    found = re.fullmatch(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)", str(path))
    return int(found[1] or found[2]) if found else standard.get(str(path))


def write_stream(path: str | Path, content: bytes) -> None:
    """Writes to a device, a pipe or an open file; what stood in an open file before stays.

    Raises:
      UserError: as `writing`.
      BrokenPipeError: if nobody reads any more.
    """
    with streaming(path) as write:
        write(content)


@contextlib.contextmanager
def streaming(path: str | Path) -> Iterator[Callable[[bytes], None]]:
    """Gives a function that writes to `path` at once; a file begins anew, what stood in an open file before stays.

    Raises:
      UserError: as `writing`.
      BrokenPipeError: if nobody reads any more.
    """
    number = open_descriptor(path)

    def write(content: bytes) -> None:
        try:
            with writing(path):
                file.write(content)
        except UserError as error:
            if isinstance(error.__cause__, BrokenPipeError):
                raise error.__cause__ from None
            raise

    with writing(path):
        file = open(path if number is None else os.dup(number), "wb", buffering=0)  # noqa: SIM115  # closed below
    with file:
        yield write


def remove_unfinished() -> None:
    """For a process that ends at once."""
    for name in list(_UNFINISHED):
        with contextlib.suppress(OSError):
            os.unlink(name)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        of = waiting.pop()
        if of is not None and id(of) not in seen:
            seen.add(id(of))
            yield of
            waiting += [of.__context__, of.__cause__, *getattr(of, "exceptions", ())]
