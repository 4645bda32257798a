"""A SQLite file of finished device work: rows of log-probabilities, and sampled replies.

What is in the store need not be computed again: a killed run resumes from it, later runs and sweeps reuse it. A key names
everything that determines the value, so nothing in it can go stale. Any number of processes may open one file at once, also
one that does not exist yet.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from remid_jax.disk import database_error
from remid_jax.errors import UserError
from remid_jax.parallel import from_first_host, is_first_host

T = TypeVar("T")
SCHEMA = 1
PATIENCE = 120.0  # seconds that a process waits for others to let go of the file
QUEUED = 8  # steps that may wait to be written
LAST = 5.0  # seconds in which a process that ends at once still writes what is computed
SWITCHING = 5.0  # seconds in which the journal's mode is changed, or left to whoever opens the file next


class Store:
    """Key (32 bytes) to value (bytes); every `put` is one transaction. Of several hosts only the first has the file.

    Raises:
      UserError: if the file cannot be opened or written, is no store, has another schema, or is locked for longer than
        `PATIENCE`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.Lock()  # one statement at a time: a writer's thread has the same connection
        if not is_first_host():
            return
        with self._told():
            # Every statement is given as it is: Python's own transactions would begin with a lock that cannot be waited for.
            # SQLite waits for a moment at a time, so that it can be told when to stop.
            self._db = sqlite3.connect(self.path, timeout=0.2, isolation_level=None, check_same_thread=False)
            self._patiently(self._create)
            self._choose_journal()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The entries that exist, the same on every host."""
        keys = list(keys)
        there = self._entries(keys) if is_first_host() else {}
        values = from_first_host([there.get(key) for key in keys])
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Adds the entries, all or none.

        Raises:
          UserError: if the disk is full; what was put before stays.
        """
        if is_first_host():
            self._add(entries)

    @contextlib.contextmanager
    def writer(self) -> Iterator[Writer]:
        """Puts by a thread of its own; at the end, also that of an exception, all that was put is written.

        Raises:
          UserError: as `put`, at a later put or at the end.
        """
        writer = Writer(self)
        _WRITERS.add(writer)
        try:
            yield writer
            writer.flush()
        finally:
            writer.close()

    def _entries(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The entries of this host's file that exist."""
        with self._lock, self._told():
            values = {key: self._patiently(functools.partial(self._value, key)) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    def _add(self, entries: Mapping[bytes, bytes]) -> None:
        with self._lock, self._told():
            self._patiently(lambda: self._insert(entries))

    def _value(self, key: bytes) -> bytes | None:
        row = self._db.execute("SELECT value FROM entries WHERE key=?", (key,)).fetchone()
        return row and row[0]

    def _insert(self, entries: Mapping[bytes, bytes]) -> None:
        with self._writing():
            self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", entries.items())

    def _create(self) -> None:
        """Makes the table if the file is new. Others may make it meanwhile, so one looks again under the lock."""
        if self._schema() is None:
            with self._writing():
                if self._schema() is None:
                    self._db.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
                    self._db.execute(f"PRAGMA user_version={SCHEMA}")
        if (found := self._schema()) != SCHEMA:
            raise UserError(
                f"{self.path}: a score store of schema {found}, this program writes schema {SCHEMA}: name another --workdir "
                "or store"
            )

    def _schema(self) -> int | None:
        """The file's schema, None of an empty one."""
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        return found if found or self._db.execute("SELECT 1 FROM sqlite_master").fetchone() else None

    def _choose_journal(self) -> None:
        """Writes ahead where that works, so that nobody who reads waits for one who writes.

        The switch needs the file for itself and does not wait for it, so it is tried for a while; a file system without shared
        memory refuses it. Both modes are right, and every process follows the one that the file says.
        """
        ends = time.monotonic() + SWITCHING
        mode = ""
        while mode not in ("wal", "memory"):
            try:
                (mode,) = self._db.execute("PRAGMA journal_mode=WAL").fetchone()
                self._patiently(lambda: self._db.execute("SELECT 1 FROM entries LIMIT 1").fetchone())  # maps its memory
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    (mode,) = self._db.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
            if time.monotonic() > ends or mode not in ("wal", "memory", ""):
                break
            if not mode:
                time.sleep(random.uniform(0.001, 0.05))
        self._db.execute(f"PRAGMA synchronous={'NORMAL' if mode == 'wal' else 'FULL'}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that has its lock from the beginning: one taken later could only fail, not wait."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _patiently(self, work: Callable[[], T]) -> T:
        """`work`, again while others have the file: SQLite's own waiting leaves some of its locks out."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > ends:
                    raise
            time.sleep(random.uniform(0.001, 0.05))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error


class Writer:
    """Puts entries into a store, in order, while its caller goes on (see `Store.writer`)."""

    def __init__(self, store: Store):
        self._store = store
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "store")
        self._waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()

    def __call__(self, entries: Mapping[bytes, bytes]) -> None:
        self._waiting.append(self._thread.submit(self._store.put, entries))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > QUEUED):
            self._waiting.popleft().result()

    def flush(self) -> None:
        """Waits until all is written.

        Raises:
          UserError: as `Store.put`.
        """
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Waits until all is written that can be."""
        self._thread.shutdown()

    def wait(self, seconds: float) -> None:
        concurrent.futures.wait(list(self._waiting), seconds)


_WRITERS: weakref.WeakSet[Writer] = weakref.WeakSet()


def finish_writing() -> None:
    """For a process that ends at once: gives what is computed a moment to be written."""
    for writer in list(_WRITERS):
        writer.wait(LAST)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error) or "locking protocol" in str(error)


def key_of(context: Mapping[str, Any], *parts: bytes) -> bytes:
    """sha256 over a JSON-able context (who computes, and how) and the parts (what is computed)."""
    return key_maker(context)(*parts)


def key_maker(context: Mapping[str, Any]) -> Callable[..., bytes]:
    """Returns `key_of` of this context, as a function of the parts alone."""
    began = hashlib.sha256(json.dumps(context, sort_keys=True).encode())

    def key(*parts: bytes) -> bytes:
        digest = began.copy()
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()

    return key
