"""The log of a point: all that it says, also kept in its folder."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from remid_jax.progress import Reports, Shown, Together

LOG = "log.txt"
WIDTH = 200  # characters of a line


@contextlib.contextmanager
def logged(folder: Path, progress: Reports) -> Iterator[tuple[Reports, Callable[[str], object]]]:
    """Gives reports that go to `progress` and to the end of the folder's log, and a function that writes to the log alone.

    A log that cannot be written is no reason to stop.
    """
    with contextlib.ExitStack() as stack:
        lines = Lines(lambda text: None)
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / LOG).open("ab", buffering=0))
            lines = Lines(lambda text: file.write(text.encode()))
        yield Together(progress, reports_to(lines)), lines.write


def reports_to(lines: io.TextIOBase) -> Reports:
    """Returns reports that are written as lines, without bars or colours."""
    return Shown(Console(file=lines, width=WIDTH, force_terminal=False, color_system=None))  # type: ignore[arg-type]


class Lines(io.TextIOBase):
    """A text file whose whole lines go to `take`; what a full disk does to that is nobody's trouble."""

    def __init__(self, take: Callable[[str], object]):
        self._take, self._begun = take, ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            with contextlib.suppress(OSError):
                self._take(f"{line}\n")
        return len(text)
