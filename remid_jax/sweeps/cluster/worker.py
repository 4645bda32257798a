"""A worker runs one point after the other, with models that stay loaded. It keeps nothing: what it finds goes to the keeper."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.evaluation.loaded import LoadedModels
from remid_jax.progress import Silent
from remid_jax.scoring.store import Store
from remid_jax.sweeps.attempts import attempt
from remid_jax.sweeps.cluster.folders import packed, unpack
from remid_jax.sweeps.logs import LOG, Lines, reports_to
from remid_jax.sweeps.plan import ACCOUNT, Done, Failure, Plan, Surroundings
from remid_jax.sweeps.points import SHARED_STORE

Call = Callable[..., Any]
"""Called with the name of a method of the keeper and its arguments; returns what that returns."""


@dataclasses.dataclass(frozen=True)
class Home:
    """Where the sweep was started: the node, its workdir and the folder in which it was started, both from the root."""

    node: str
    workdir: str
    started_in: str


class KeptStore(Store):
    """A store whose file the keeper has."""

    def __init__(self, call: Call, path: str):
        self._call, self.path = call, Path(path)

    def _entries(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return self._call("get", str(self.path), keys)

    def _add(self, entries: Mapping[bytes, bytes]) -> None:
        self._call("put", str(self.path), dict(entries))


class Worker:
    """Runs points on the node `node`.

    On the node of `home` it works in the workdir there; on any other in a folder of its own below `folder`, to which it fetches
    what a point needs, and from which it sends what others need. Where several hosts run a point together, all but the first
    have folders of their own, too, and nobody asks what is in them.
    """

    def __init__(self, plan: Plan, call: Call, tell: Call, home: Home, node: str, folder: str | None, host: int = 0):
        self._plan, self._call, self._tell, self._home, self._is_first = plan, call, tell, home, host == 0
        self._is_home = node == home.node and self._is_first
        if self._is_home:
            self._workdir = Path(home.workdir)
        else:
            sweep = hashlib.sha256(f"{home.node} {home.workdir}".encode()).hexdigest()[:8]
            self._workdir = Path(folder or tempfile.gettempdir()) / f"remid_jax-sweep-{sweep}-{node[:12]}"
            if not self._is_first:
                self._workdir = self._workdir.with_name(f"{self._workdir.name}-host{host}")
        with contextlib.suppress(OSError):  # inputs that points name are looked for from there
            os.chdir(home.started_in)
        self._models = LoadedModels()

    def run(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        """Runs a point; returns what came of it, which the keeper has by then, and the work that it took.

        Raises:
          UserError: if a disk is full.
        """
        outcome, work = self.compute(name)
        self.enter(name, outcome)
        return outcome, work

    def compute(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        """Runs a point; returns what came of it and the work that it took.

        Raises:
          UserError: if a disk is full.
        """
        [point] = [point for point in self._plan.points if point.name == name]
        if not self._is_home:
            if self._is_first:
                self._call("begin", name)
            else:
                self._forget(name)
            for need in point.needs:
                if not self._plan.is_here(need, self._workdir):
                    unpack(self._call("files", need), self._workdir / need)
        work: Counter[str] = Counter()
        said = reports_to(Lines(lambda line: self._tell("say", name, line.rstrip("\n"))))
        progress = said if self._is_first else Silent()
        surroundings = Surroundings(progress, store=self._store, models=self._models, count=work.update)
        outcome = attempt(self._plan, point, self._workdir, surroundings)
        if isinstance(outcome, Failure) and self._is_first:
            outcome = dataclasses.replace(outcome, log=str(Path(self._home.workdir) / name / LOG))
        if not self._is_first:
            self._forget(name)
        return outcome, dict(work)

    def enter(self, name: str, outcome: Done | Failure) -> None:
        """Tells the keeper what came of a point, and sends it the files that it has not.

        Raises:
          UserError: if a disk is full.
        """
        files = None
        if not self._is_home:
            folder = self._workdir / name
            files = packed(folder, _is_log) if isinstance(outcome, Failure) else packed(folder)
        self._call("enter", name, outcome, files)

    def is_done_here(self, name: str) -> bool:
        """Returns whether the point was run to its end in this worker's folder."""
        return self._plan.is_here(name, self._workdir)

    def _forget(self, name: str) -> None:
        """Does away with the account of a point of which this host, not the first, did its share: that is no result to take."""
        (self._workdir / name / ACCOUNT).unlink(missing_ok=True)

    def _store(self, path: str) -> Store:
        is_shared = Path(path) == self._workdir / SHARED_STORE
        named = Path(self._home.workdir) / SHARED_STORE if is_shared else Path(self._home.started_in) / path
        return KeptStore(self._call, str(named))


def _is_log(name: str) -> bool:
    return name == LOG
