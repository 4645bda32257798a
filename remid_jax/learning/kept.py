"""Steps of a training run that are kept: checkpoints for others to read, beside the one that the run itself goes on from."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from remid_jax.disk import writing
from remid_jax.models.loading import LanguageModel, on_this_host
from remid_jax.parallel import is_first_host
from remid_jax.roles.training_runs import KEPT, WRITTEN_LAST, Kind, TrainingRun

Write = Callable[[Path, int, Mapping[str, LanguageModel]], None]
BEGINNINGS: dict[Kind, str] = {"adapter": "config.adapter={run}@{step}", "model": f"config.model={{run}}/{KEPT}/{{step}}"}
"""What makes a run of training begin with a step that another has kept."""


class KeptSteps:
    """Keeps every `every`-th step of `run`; None keeps none.

    `write` writes the learners after a step into the step's folder, last of all the file by which a checkpoint is known to be
    whole. Of a run of several parts, such as the folds of an estimator, each keeps its own in the subfolder `part`, and the
    last of them writes that file. Of several hosts only the first writes.

    Raises:
      UserError: if the disk is full or a folder cannot be written; nothing of that step is left.
    """

    def __init__(self, run: TrainingRun, every: int | None, write: Write, part: str = ""):
        self._run, self._every, self._write, self._part = run, every, write, part

    def begin(self, done: int) -> None:
        """Writes the account of the run. Steps after `done` are dropped: no checkpoint that the run goes on from has them."""
        if not is_first_host():
            return
        self._run.save()
        for folder in (self._run.folder / KEPT).glob("*"):
            if folder.name.isdecimal() and int(folder.name) > done:
                with writing(folder):
                    self._drop(folder)

    def is_due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be kept."""
        return self._every is not None and step % self._every == 0

    @property
    def beginning(self) -> str:
        """Where another run may begin, as the end of a line for people; "" if no step is kept, or none can begin with one."""
        if not self._run.kept or self._run.kind not in BEGINNINGS:
            return ""
        step = self._run.kept[-1]
        return f"; {BEGINNINGS[self._run.kind].format(run=self._run.folder, step=step)} begins with step {step} of this run"

    def keep(self, step: int, learners: Mapping[str, LanguageModel]) -> None:
        """Writes the learners after `step` steps; they are on disk when it returns. All hosts must call this."""
        learners = {name: on_this_host(model) for name, model in learners.items()}
        if not is_first_host():
            return
        folder = self._run.kept_at(step)
        try:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                self._write(folder, step, learners)
        except Exception:
            with contextlib.suppress(OSError):
                self._drop(folder)
            raise

    def _drop(self, folder: Path) -> None:
        """First goes what says that the checkpoint is whole: a kill in between leaves none that seems so."""
        (folder / WRITTEN_LAST[self._run.kind]).unlink(missing_ok=True)
        if (folder / self._part).is_dir():
            shutil.rmtree(folder / self._part)
