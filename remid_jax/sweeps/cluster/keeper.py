"""The one actor that has the files: index, store and folders of a sweep. It runs on the machine that starts the sweep."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from remid_jax.scoring.store import Store
from remid_jax.sweeps.cluster.folders import packed, unpack
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.locks import claimed, is_claimed, keeping
from remid_jax.sweeps.plan import Done, Failure, Plan


class Keeper:
    """Keeps what workers find, once no other keeper has the index. Its methods may be called from several threads at once.

    Args:
      plan: all points of the sweep.
      output: the index.
      beside: other indexes (see `Index`).
      workdir: a folder a point lies below it.

    Raises:
      UserError: as `Index`.
    """

    def __init__(self, plan: Plan, output: str, beside: Sequence[str], workdir: str):
        self._alone = contextlib.ExitStack()
        Path(workdir).mkdir(parents=True, exist_ok=True)
        self._alone.enter_context(keeping(output))
        self._plan, self._index, self._workdir = plan, Index(output, plan, beside), Path(workdir)
        self._lock = threading.Lock()
        self._stores: dict[str, Store] = {}
        self._claims: dict[str, contextlib.ExitStack] = {}
        self._lines: deque[tuple[str, str]] = deque()

    def get(self, store: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the entries of a store that exist."""
        return self._opened(store).get(keys)

    def put(self, store: str, entries: Mapping[bytes, bytes]) -> None:
        """Adds entries to a store, all or none.

        Raises:
          UserError: if the disk is full.
        """
        self._opened(store).put(entries)

    def files(self, name: str) -> bytes:
        """Returns the folder of a point that is done (see `packed`)."""
        return packed(self._workdir / name)

    def begin(self, name: str) -> None:
        """Holds the folder of a point that a node without it computes, so that others see that it is being computed."""
        folder = self._workdir / name
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if name not in self._claims and not is_claimed(folder):
                self._claims[name] = contextlib.ExitStack()
                self._claims[name].enter_context(claimed(folder, lambda: None))

    def let_go(self, name: str) -> None:
        """Lets go of a point's folder, if it is held."""
        with self._lock:
            self._claims.pop(name, contextlib.ExitStack()).close()

    def enter(self, name: str, outcome: Done | Failure, files: bytes | None = None) -> None:
        """Writes a point's files, unless they are here already, and enters what came of it into the index.

        Raises:
          UserError: if the disk is full; what was entered before stays.
        """
        if files is not None:
            unpack(files, self._workdir / name)
        with self._lock:
            if name not in self._index:  # what is run only for its files, elsewhere done, keeps its numbers
                self._index.add(name, outcome)
        self.let_go(name)

    def done(self, name: str) -> Done | None:
        """Returns what came of a point that is done and whose files are here; None if it has to be run."""
        with self._lock:
            return self._index.done(name) if name in self._index and self._plan.is_here(name, self._workdir) else None

    def say(self, name: str, line: str) -> None:
        """Takes a line that a point says."""
        self._lines.append((name, line))

    def heard(self) -> list[tuple[str, str]]:
        """Returns what points have said since the last call: (point, line)."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def save(self) -> None:
        """Writes the index.

        Raises:
          UserError: if it cannot be written.
        """
        with self._lock:
            self._index.save()

    def _opened(self, store: str) -> Store:
        with self._lock:
            if store not in self._stores:
                self._stores[store] = Store(store)
            return self._stores[store]
