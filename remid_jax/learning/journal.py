"""What a training run writes as it goes: metrics, times, and rollouts with their rewards, as JSON Lines and for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorboardX

from remid_jax.parallel import is_first_host

METRICS, TIMES, ROLLOUTS = "metrics.jsonl", "times.jsonl", "rollouts.jsonl"


class Journal:
    """Rows of steps below `start` are kept, later ones are dropped: they belong to steps that no checkpoint remembers.

    `metrics.jsonl` and `rollouts.jsonl` hold what a resumed run repeats to the bit; seconds go to `times.jsonl`. Of several
    hosts only the first writes.
    """

    def __init__(self, folder: Path, start: int):
        self._files: dict[str, Any] = {}
        self._board = None
        if not is_first_host():
            return
        for name in (METRICS, TIMES, ROLLOUTS):
            path = folder / name
            kept = [line for line in _lines(path) if json.loads(line)["step"] < start]
            whole = path.with_name(f".{name}.part")
            whole.write_text("".join(kept), encoding="utf-8")
            os.replace(whole, path)
            self._files[name] = path.open("a", encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def step(self, step: int, phase: Mapping[str, Any], metrics: Mapping[str, float], times: Mapping[str, float]) -> None:
        """One row of metrics and one of times; `phase` says where in the run the step stands."""
        self._write(METRICS, {"step": step, **phase, **metrics})
        self._write(TIMES, {"step": step, **times})
        if self._board is not None:
            for name, value in {**metrics, **times}.items():
                self._board.add_scalar(f"{phase['phase']}/{name}", value, step)

    def rollouts(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._write(ROLLOUTS, {"step": step, **row})

    def flush(self) -> None:
        """On disk: what a checkpoint counts on."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, name: str, row: Mapping[str, Any]) -> None:
        if self._files:
            self._files[name].write(json.dumps(row, ensure_ascii=False) + "\n")


def _lines(path: Path) -> list[str]:
    """Whole lines; the last may have been cut off by a kill. Only a line feed ends one: a text may hold U+2028."""
    return [f"{line}\n" for line in path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]] if path.is_file() else []
