"""A SQLite file of finished device work: rows of log-probabilities, and sampled replies.

What is in the store need not be computed again: a killed run resumes from it, later runs and sweeps reuse it. A key names
everything that determines the value, so nothing in it can go stale.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError
from remid_jax.parallel import from_first_host, is_first_host

SCHEMA = 1


class Store:
    """Key (32 bytes) to value (bytes); every `put` is one transaction. Of several hosts only the first has the file.

    Raises:
      UserError: if the file cannot be opened, is no store, or has another schema.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not is_first_host():
            return
        try:
            self._db = sqlite3.connect(self.path, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            if found == 0 and not tables:
                with self._db:
                    self._db.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
                    self._db.execute(f"PRAGMA user_version={SCHEMA}")
                found = SCHEMA
        except sqlite3.Error as error:
            raise UserError(
                f"{path}: cannot be used as a score store ({error}): name another file or delete this one"
            ) from error
        if found != SCHEMA:
            raise UserError(
                f"{path}: a score store of schema {found}, this program writes schema {SCHEMA}: choose another --workdir, "
                "or delete the file to compute its contents again"
            )

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The entries that exist, the same on every host."""
        keys = list(keys)
        values: list[bytes | None] = [None] * len(keys)
        if is_first_host():
            for n, key in enumerate(keys):
                row = self._db.execute("SELECT value FROM entries WHERE key=?", (key,)).fetchone()
                values[n] = row and row[0]
        return {key: value for key, value in zip(keys, from_first_host(values), strict=True) if value is not None}

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        if not is_first_host():
            return
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", entries.items())


def key_of(context: Mapping[str, Any], *parts: bytes) -> bytes:
    """sha256 over a JSON-able context (who computes, and how) and the parts (what is computed)."""
    digest = hashlib.sha256(json.dumps(context, sort_keys=True).encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
