"""Checkpoints that training runs leave for others: after the last step, and after each step that was to be kept.

RUN/training.json                            what is trained, on which base, in how many steps
RUN/kept/STEP/                               a checkpoint after STEP steps
RUN/adapter/, RUN/model/ or RUN/estimator/   the one after the last step

A checkpoint is an adapter in PEFT's files; after full fine-tuning a whole model; of CoRL the folder of an estimator. It is
whole if the file is there that is written last. `RUN@STEP` names one, RUN alone the last.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from remid_jax.disk import replacing, writing
from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.models.adapters import Adapter
from remid_jax.models.loading import LanguageModel
from remid_jax.models.peft_files import CONFIG, read_adapter

SCHEMA_VERSION = 1
ACCOUNT, KEPT = "training.json", "kept"
Kind = Literal["adapter", "model", "estimator"]
WRITTEN_LAST: dict[Kind, str] = {"adapter": CONFIG, "model": "config.json", "estimator": "manifest.json"}
SETTINGS: dict[Kind, str] = {
    "adapter": "config.policy.adapter", "model": "config.policy.model", "estimator": "config.estimator.adapters"
}  # fmt: skip
"""Where an evaluation takes a checkpoint of that kind."""


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What a run in `folder` trains in `steps` steps, on the base with the fingerprint `base`, read from `base_source`."""

    folder: Path
    kind: Kind
    base: str
    base_source: str
    steps: int

    @property
    def end(self) -> Path:
        """The folder of the checkpoint after the last step."""
        return self.folder / self.kind

    @property
    def kept(self) -> list[int]:
        """The steps whose checkpoints are kept, in order; the last is no matter of keeping."""
        numbers = (int(path.name) for path in (self.folder / KEPT).glob("*") if path.name.isdecimal())
        return sorted(number for number in numbers if self._is_whole(self.kept_at(number)))

    def kept_at(self, step: int) -> Path:
        """Returns the folder of the checkpoint that is kept of a step."""
        return self.folder / KEPT / str(step)

    def at(self, step: int | None) -> Checkpoint:
        """Returns the checkpoint after `step` steps, by default after the last.

        Raises:
          UserError: if it was not kept, or the run has not ended.
        """
        ended = self._is_whole(self.end)
        if ended and step in (None, self.steps):
            return Checkpoint(self, self.steps, self.end)
        if step is not None and self._is_whole(self.kept_at(step)):
            return Checkpoint(self, step, self.kept_at(step))
        kept = [str(number) for number in self.kept]
        there = ", ".join([*kept, f"{self.steps} (the end)"] if ended and self.steps not in self.kept else kept)
        if step is None:
            raise UserError(
                f"{self.folder}: this run of {self.steps} steps has not ended: let it end, or name a step that was kept "
                f"({there or 'none was'})"
            )
        raise UserError(
            f"{self.folder}: step {step} was not kept ({there or 'none was'}): name one of those, or train in another workdir "
            f"with config.keep_every={max(step, 1)}"
        )

    def save(self) -> None:
        """Writes the account of the run.

        Raises:
          UserError: if it cannot be written.
        """
        base = {"source": self.base_source, "fingerprint": self.base}
        account = {"schema_version": SCHEMA_VERSION, "kind": self.kind, "base": base, "steps": self.steps}
        write_text(self.folder / ACCOUNT, json.dumps(account, indent=1, ensure_ascii=False) + "\n")

    def _is_whole(self, checkpoint: Path) -> bool:
        return (checkpoint / WRITTEN_LAST[self.kind]).is_file()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run had trained after `step` steps, in `folder`."""

    run: TrainingRun
    step: int
    folder: Path


def checkpoint_of(source: str | Path | None) -> Checkpoint | None:
    """Returns the checkpoint that `RUN@STEP`, RUN, or a checkpoint's own folder in RUN names; None where there is no run.

    Raises:
      UserError: if the run has no such checkpoint, or RUN@STEP is of no run.
    """
    if not source:
        return None
    path = Path(source)
    if (path / ACCOUNT).is_file():
        return training_run(path).at(None)
    name, at, step = str(source).rpartition("@")
    if at and not path.exists() and (step.isdecimal() or (Path(name) / ACCOUNT).is_file()):
        if not step.isdecimal():
            raise UserError(f"{source}: {step!r} is no step: name a number, or {name} alone for the last")
        return training_run(name).at(int(step))
    for folder in path.parents[:2]:
        if (folder / ACCOUNT).is_file():
            run = training_run(folder)
            steps = {run.kept_at(number): number for number in run.kept} | {run.end: run.steps}
            return Checkpoint(run, steps[path], path) if path in steps else None
    return None


def read_policy_adapter(source: str | Path, model: LanguageModel) -> Adapter:
    """Returns an adapter of `model`, from a folder of PEFT's files or a training run (see `checkpoint_of`).

    Raises:
      UserError: as `checkpoint_of` and `read_adapter`, and if the run trained something else, or on another base.
    """
    checkpoint = checkpoint_of(source)
    if checkpoint is None:
        return read_adapter(source, model)
    folder = folder_of_kind(checkpoint, "adapter", source)
    if checkpoint.run.base != model.fingerprint:
        raise UserError(
            f"{source}: was trained on {checkpoint.run.base_source} ({checkpoint.run.base[:12]}), not on {model.source} "
            f"({model.fingerprint[:12]}): name that base, or export the adapter (experiments.export) to use it on another"
        )
    return read_adapter(folder, model)


def folder_of_kind(checkpoint: Checkpoint, kind: Kind, source: str | Path) -> Path:
    """Returns the folder of a checkpoint that is to be of a kind.

    Raises:
      UserError: if it is of another kind, with the setting where it belongs.
    """
    is_kind = checkpoint.run.kind
    if is_kind != kind:
        raise UserError(f"{source}: holds the {is_kind} of a training run, no {kind}: name it as {SETTINGS[is_kind]}")
    return checkpoint.folder


def export(run: str | Path, step: int | None = None, output: str | Path | None = None) -> Path:
    """Writes what a training run had trained after `step` steps, by default after the last, into a folder of its own.

    That is what the run would have written had it ended there: a policy's adapter in PEFT's files (a whole model after full
    fine-tuning), or the folder of an estimator. Files of these names that are there already are replaced.

    Args:
      run: the workdir of experiments.train or experiments.corl.
      step: one that was kept (config.keep_every).
      output: the folder, by default `exported/STEP` in that of the run.

    Returns:
      The folder.

    Raises:
      UserError: if `run` is no training run, if the step was not kept, or if the folder cannot be written.
    """
    checkpoint = training_run(run).at(step)
    target = Path(output) if output else checkpoint.run.folder / "exported" / str(checkpoint.step)
    last = WRITTEN_LAST[checkpoint.run.kind]
    names = [path.relative_to(checkpoint.folder) for path in sorted(checkpoint.folder.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: str(name) == last):
        with writing(target):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(target / name) as whole:
            shutil.copyfile(checkpoint.folder / name, whole)
    return target


def training_run(folder: str | Path) -> TrainingRun:
    """Reads the account of the run in `folder`, the workdir of experiments.train or experiments.corl.

    Raises:
      UserError: if there is none, or it is broken.
    """
    folder = Path(folder)
    path, mend = folder / ACCOUNT, "run its training once more with the same command, which writes it anew"
    if not path.is_file():
        raise UserError(f"{folder}: is no workdir of a training run, as it has no {ACCOUNT}: check the path")
    account: dict[str, Any] = read_object(path, mend)
    if account.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {account.get('schema_version')!r}, not {SCHEMA_VERSION}: {mend}")
    kind, base, steps = account.get("kind"), account.get("base"), account.get("steps")
    if kind not in WRITTEN_LAST or not isinstance(steps, int) or not isinstance(base, dict):
        raise UserError(f"{path}: is no account of a training run: {mend}")
    if not all(isinstance(base.get(key), str) for key in ("source", "fingerprint")):
        raise UserError(f"{path}: base has no source and fingerprint: {mend}")
    return TrainingRun(folder, kind, base["fingerprint"], base["source"], steps)
