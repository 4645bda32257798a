"""Folders of points as bytes, between nodes that share no disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from remid_jax.disk import writing
from remid_jax.files import write_bytes
from remid_jax.sweeps.locks import LOCK
from remid_jax.sweeps.plan import ACCOUNT

STAYS = {LOCK, "checkpoints", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
"""What only the node needs that computes the point, to go on with it."""


def packed(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> bytes:
    """Returns the files of a folder that are `wanted` by their names, but for what stays where it is."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and STAYS.isdisjoint(inside.parts) and not path.name.endswith(".part") and wanted(path.name):
                archive.add(path, str(inside), recursive=False)
    return content.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Writes files that `packed` gave into a folder, which is made; its account comes last, so that it tells of whole files.

    Raises:
      UserError: if the disk is full, or the folder cannot be written.
    """
    with writing(folder), tarfile.open(fileobj=io.BytesIO(content)) as archive:
        folder.mkdir(parents=True, exist_ok=True)
        account = next((member for member in archive if member.name == ACCOUNT), None)
        archive.extractall(folder, [member for member in archive if member is not account], filter="data")
        if account is not None and (file := archive.extractfile(account)) is not None:
            write_bytes(folder / ACCOUNT, file.read())
