"""What a training run writes as it goes: metrics, times, and rollouts with their rewards, as JSON Lines and for TensorBoard."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from remid_jax.disk import writing
from remid_jax.files import write_text
from remid_jax.parallel import is_first_host

Row = Mapping[str, str | float | None]
METRICS, TIMES, ROLLOUTS = "metrics.jsonl", "times.jsonl", "rollouts.jsonl"


class Journal:
    """Rows of steps below `start` are kept, later ones are dropped: they belong to steps that no checkpoint remembers.

    `metrics.jsonl` and `rollouts.jsonl` hold what a resumed run repeats to the bit; seconds go to `times.jsonl`. Of several
    hosts only the first writes.

    Raises:
      UserError: if the disk is full or a file cannot be written.
    """

    def __init__(self, folder: Path, start: int):
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self._board: EventsWriter | None = None
        if not is_first_host():
            return
        for name in (METRICS, TIMES, ROLLOUTS):
            path = folder / name
            write_text(path, "".join(line for line in _lines(path) if json.loads(line)["step"] < start))
            self._files[name] = path.open("a", encoding="utf-8")
        with writing(folder / "tensorboard"):
            (folder / "tensorboard").mkdir(exist_ok=True)
            # Not its SummaryWriter: that writes in a thread, which dies of a full disk and lets the run wait for it for ever.
            self._board = EventsWriter(str(folder / "tensorboard" / "events"))
            self._board.write_event(Event(wall_time=time.time(), step=start, session_log=SessionLog(status=SessionLog.START)))

    def step(self, step: int, phase: Mapping[str, str | int], metrics: Mapping[str, float], times: Mapping[str, float]) -> None:
        """One row of metrics and one of times; `phase` says where in the run the step stands."""
        self._write(METRICS, {"step": step, **phase, **metrics})
        self._write(TIMES, {"step": step, **times})
        if self._board is not None:
            with writing(self._folder / "tensorboard"):
                for name, value in {**metrics, **times}.items():
                    summary = scalar(f"{phase['phase']}/{name}", value)
                    self._board.write_event(Event(wall_time=time.time(), step=step, summary=summary))

    def rollouts(self, step: int, rows: Sequence[Row]) -> None:
        for row in rows:
            self._write(ROLLOUTS, {"step": step, **row})

    def flush(self) -> None:
        """On disk: what a checkpoint counts on."""
        for name, file in self._files.items():
            with writing(self._folder / name):
                file.flush()
                os.fsync(file.fileno())
        if self._board is not None:
            with writing(self._folder / "tensorboard"):
                self._board.flush()

    def close(self) -> None:
        with contextlib.ExitStack() as all_of_them:
            for name, file in self._files.items():
                all_of_them.enter_context(writing(self._folder / name))
                all_of_them.callback(file.close)
            if self._board is not None:
                all_of_them.enter_context(writing(self._folder / "tensorboard"))
                all_of_them.callback(self._board.close)

    def _write(self, name: str, row: Row) -> None:
        if self._files:
            with writing(self._folder / name):
                self._files[name].write(json.dumps(row, ensure_ascii=False) + "\n")


def _lines(path: Path) -> list[str]:
    """Whole lines; the last may have been cut off by a kill. Only a line feed ends one: a text may hold U+2028."""
    return [f"{line}\n" for line in path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]] if path.is_file() else []
