"""A worker runs one point after the other, with models that stay loaded. It keeps nothing: what it finds goes to the keeper."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from remid_jax.scoring.store import Store
from remid_jax.sweeps.attempts import attempt
from remid_jax.sweeps.cluster.folders import packed, unpack
from remid_jax.sweeps.loaded import LoadedModels
from remid_jax.sweeps.logs import LOG, Lines, reports_to
from remid_jax.sweeps.plan import Done, Failure, Plan, Surroundings
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

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        return self._call("get", str(self.path), list(keys))

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        self._call("put", str(self.path), dict(entries))


class Worker:
    """Runs points on the node `node`.

    On the node of `home` it works in the workdir there; on any other in a folder of its own below `folder`, to which it fetches
    what a point needs, and from which it sends what others need.
    """

    def __init__(self, plan: Plan, call: Call, tell: Call, home: Home, node: str, folder: str | None):
        self._plan, self._call, self._tell, self._home = plan, call, tell, home
        self._is_home = node == home.node
        if self._is_home:
            self._workdir = Path(home.workdir)
        else:
            sweep = hashlib.sha256(f"{home.node} {home.workdir}".encode()).hexdigest()[:8]
            self._workdir = Path(folder or tempfile.gettempdir()) / f"remid_jax-sweep-{sweep}-{node[:12]}"
        with contextlib.suppress(OSError):  # inputs that points name are looked for from there
            os.chdir(home.started_in)
        self._models = LoadedModels()

    def run(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        """Runs a point; returns what came of it, which the keeper has by then, and the work that it took.

        Raises:
          UserError: if a disk is full.
        """
        [point] = [point for point in self._plan.points if point.name == name]
        if not self._is_home:
            self._call("begin", name)
            for need in point.needs:
                if not self._plan.is_here(need, self._workdir):
                    unpack(self._call("files", need), self._workdir / need)
        work: Counter[str] = Counter()
        progress = reports_to(Lines(lambda line: self._tell("say", name, line.rstrip("\n"))))
        surroundings = Surroundings(progress, store=self._store, models=self._models, count=work.update)
        outcome = attempt(self._plan, point, self._workdir, surroundings)
        files = None
        if isinstance(outcome, Failure):
            if not self._is_home:
                files = packed(self._workdir / name, lambda file: file == LOG)
            outcome = dataclasses.replace(outcome, log=str(Path(self._home.workdir) / name / LOG))
        elif not self._is_home:
            files = packed(self._workdir / name)
        self._call("enter", name, outcome, files)
        return outcome, dict(work)

    def _store(self, path: str) -> Store:
        is_shared = Path(path) == self._workdir / SHARED_STORE
        named = Path(self._home.workdir) / SHARED_STORE if is_shared else Path(self._home.started_in) / path
        return KeptStore(self._call, str(named))
