"""Reading and writing whole files: faults are reported in one line, and what is written is written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError


def read_text(path: str | Path) -> str:
    """The file's text.

    Raises:
      UserError: if it is missing, unreadable, empty, or not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}): convert it") from error
    if not text.strip():
        raise UserError(f"{path}: is empty")
    return text


def read_object(path: str | Path, mend: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
      UserError: as `read_text`, and if it holds none, with what to do then: `mend`.
    """
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken JSON (line {error.lineno}, {error.msg}): {mend}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: is not a JSON object: {mend}")
    return value


def read_jsonl(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file with their line numbers; blank lines are passed over.

    Raises:
      UserError: as `read_text`, and naming every line that is not a JSON object.
    """
    objects, faults = [], []
    for n, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            faults.append(f"line {n}, column {error.colno}: broken JSON ({error.msg})")
            continue
        if isinstance(value, dict):
            objects.append((n, value))
        else:
            faults.append(f"line {n}: not a JSON object")
    if faults:
        more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise UserError(f"{path}: {'; '.join(faults[:20])}{more}")
    return objects


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replaces the file in one step, so a killed run leaves the old content or the new.

    Raises:
      UserError: if the folder does not exist or is not writable.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): name a file in a folder you may write to") from error


def write_text(path: str | Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))
