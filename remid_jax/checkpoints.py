"""Checkpoints: the whole state of a run, written in the background, read back onto whatever devices there are."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
from orbax.checkpoint import v1 as ocp

from remid_jax.disk import writing
from remid_jax.errors import UserError

T = TypeVar("T")


class Checkpoints:
    """Numbered checkpoints in a folder, of which the last is kept.

    A checkpoint is a tree of arrays and a JSON object beside it, and exists whole or not at all: what a killed process left
    half written is swept away when the folder is opened again.

    Raises:
      UserError: if the disk is full or the folder cannot be written; of a save in the background at the next `save` or `close`.
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder).absolute()
        with writing(self._folder):
            self._orbax = ocp.training.Checkpointer(
                self._folder,
                preservation_policy=ocp.training.preservation_policies.LatestN(1),
                cleanup_tmp_directories=True,
            )

    @property
    def latest(self) -> int | None:
        """The number of the last whole checkpoint."""
        return None if self._orbax.latest is None else self._orbax.latest.step

    def save(self, number: int, state: object, beside: Mapping[str, object]) -> None:
        """Begins to write; returns as soon as `state` may be changed. At most one save is under way."""
        with self._whole_or_not_at_all():
            self._orbax.save_async(number, state, custom_metadata=beside, force=True)

    def beside(self, number: int) -> dict[str, Any]:
        """The JSON object of a checkpoint."""
        return dict(self._orbax.metadata(number).custom_metadata or {})

    def restore(self, number: int, shapes: T, shardings: T) -> T:
        """The arrays of a checkpoint, laid out by `shardings`, whatever devices it was written from.

        Raises:
          UserError: if the checkpoint holds other arrays than `shapes`.
        """
        wanted = jax.tree.map(lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), shapes, shardings)
        try:
            return self._orbax.load(number, wanted)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._orbax.directory}: checkpoint {number} holds other arrays than this config's model and adapter: use "
                "the config it was written with, or another workdir"
            ) from error

    def close(self) -> None:
        """Returns when the save under way, if any, is on disk; nothing can be saved afterwards."""
        with self._whole_or_not_at_all():
            self._orbax.close()

    @contextlib.contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Room that half a checkpoint takes is given back at once, not when the folder is opened again."""
        try:
            with writing(self._folder):
                yield
        except UserError:
            for part in self._folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(part, ignore_errors=True)
            raise
