"""SIGTERM and SIGINT: the process says how to go on and ends with status 143 or 130, whatever it is doing.

What a signal handler raises is lost where a library calls back into Python, and comes late where one computes for minutes. So
handlers do nothing here: Python writes the signal's number into a pipe, and a thread that reads it ends the process. That is
safe at any moment: a store's rows are transactions, files appear whole, and what has not appeared is removed. Where a training
step has to be saved first (`Saving`), the thread only notes the signal, and the run ends after the step under way; a second
signal ends it at once, as does `LONGEST`.

Nothing heavy is imported here, so that signals are heeded while everything else is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import NoReturn

SIGNALS = {signal.SIGTERM: "stopped", signal.SIGINT: "interrupted"}
GO_ON = "run the same command again to go on from here"
LONGEST = 600.0  # seconds that a step may take to its end and its checkpoint

_came: int | None = None
_saving = 0
_reader: int | None = None


def heed_signals() -> None:
    """From now on; of the main thread alone."""
    global _reader
    if _reader is None:
        _reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(_reader,), name="signals", daemon=True).start()
        os.register_at_fork(after_in_child=_as_before)
    for number in SIGNALS:  # again: a library may have put its own in the place of ours
        signal.signal(number, _nothing)


def end(line: str | None = None) -> NoReturn:
    """Ends the process at once, saying how to go on."""
    number = _came or signal.SIGTERM
    said = f"{line or f'{SIGNALS[signal.Signals(number)]}: {GO_ON}'}\n"
    if os.isatty(2):  # a progress bar hides the cursor and leaves a line
        said = f"\r\x1b[2K\x1b[?25h{said}"
    _write(said)
    if "remid_jax.scoring.store" in sys.modules:
        sys.modules["remid_jax.scoring.store"].finish_writing()
    if "remid_jax.disk" in sys.modules:
        sys.modules["remid_jax.disk"].remove_unfinished()
    os._exit(128 + number)


class Saving:
    """Within, a signal does not end the process: whoever is asked `asked` saves what there is and raises `Stopped`.

    A run that comes to its end all the same ends the process then.
    """

    def __enter__(self) -> Saving:
        global _saving
        _saving += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        global _saving
        _saving -= 1
        if kind is None and _came is not None and not _saving:
            end()

    def asked(self) -> bool:
        """Whether a signal has come."""
        return _came is not None


def _watch(reader: int) -> None:
    global _came
    while True:
        for number in os.read(reader, 64):
            if number not in SIGNALS:
                continue
            first, _came = _came is None, number if _came is None else _came
            if not (_saving and first):
                end()
            _write(f"{SIGNALS[signal.Signals(number)]}: saving after the step under way; once more ends at once\n")
            timer = threading.Timer(LONGEST, end)
            timer.daemon = True
            timer.start()


def _write(text: str) -> None:
    """Past Python's own buffers, which another thread may be holding."""
    with contextlib.suppress(OSError):  # nobody reads any more
        os.write(2, text.encode())


def _nothing(number: int, frame: object) -> None:
    """A handler must be there for Python to pass the signal on to the pipe."""


def _as_before() -> None:
    """In a forked process there is no thread that would read the pipe."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
