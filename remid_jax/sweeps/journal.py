"""Lines added to a file one by one, each whole or not at all, whatever ends the process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remid_jax.disk import writing
from remid_jax.errors import UserError
from remid_jax.files import parse_json, reading


class Journal:
    """JSON objects, one a line, in the file `path`, which need not be there."""

    def __init__(self, path: str | Path):
        self._path, self._end = Path(path), 0

    def entries(self) -> list[dict[str, Any]]:
        """Reads all that was added. A last line without its end was cut by whatever ended its writer, and is none.

        Raises:
          UserError: if another line is broken.
        """
        if not self._path.is_file():
            self._end = 0
            return []
        with reading(self._path) as file:
            content = file.read()
        self._end = content.rfind(b"\n") + 1
        entries = []
        for number, line in enumerate(content[: self._end].split(b"\n")[:-1], 1):
            entry, faults = parse_json(line, number)
            if faults or not isinstance(entry, dict):
                fault = "; ".join(faults) or f"line {number}: is not a JSON object"
                raise UserError(f"{self._path}: {fault}: mend it, or delete this file to run its points again")
            entries.append(entry)
        return entries

    def add(self, entry: Mapping[str, Any]) -> None:
        """Adds one object; it is on the disk when this returns.

        Raises:
          UserError: if the disk is full or the file cannot be written; what was added before stays.
        """
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with writing(self._path), os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
            try:
                file.truncate(self._end)
                file.seek(self._end)
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    file.truncate(self._end)
                raise
        self._end += len(line)

    def clear(self) -> None:
        """Removes the file."""
        with writing(self._path):
            self._path.unlink(missing_ok=True)
        self._end = 0
