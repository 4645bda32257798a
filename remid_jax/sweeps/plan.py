"""The plan of a sweep: its points in order, what each is, and which of them have to be run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from remid_jax import program
from remid_jax.disk import remove_leftovers, writing
from remid_jax.errors import UserError
from remid_jax.evaluation.loaded import LoadedModels
from remid_jax.files import read_object, write_text
from remid_jax.identity import Identity, check_same
from remid_jax.progress import Reports, Silent
from remid_jax.scoring.store import Store
from remid_jax.sweeps.inputs import Inputs, identities
from remid_jax.sweeps.locks import claimed
from remid_jax.sweeps.points import Point, ordered

ACCOUNT = "point.json"  # in each point's folder: what it is, and what came of it


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Where points run.

    Attributes:
      progress: hears how far they are.
      saving: within `saving()` whoever trains asks what it gives after each step whether to stop, and saves before it does.
      store: opens the store of finished device work that a setting names.
      models: what stays loaded from one point to the next.
      count: hears how much work a point did, {what: how much}; see `remid_jax.sweeps.work`.
    """

    progress: Reports = dataclasses.field(default_factory=Silent)
    saving: Callable[[], AbstractContextManager[Callable[[], bool]]] = lambda: contextlib.nullcontext(lambda: False)
    store: Callable[[str], Store] = Store
    models: LoadedModels = dataclasses.field(default_factory=LoadedModels)
    count: Callable[[Mapping[str, int]], None] = lambda work: None


@dataclasses.dataclass(frozen=True)
class Task:
    """What points can do: `run(config, folder, surroundings)` writes into the folder what others need, and returns the
    numbers. `repeatable` says that it goes on from nothing there, so it is run again where its inputs were changed in place.
    """

    run: Callable[[dict[str, Any], Path, Surroundings], Mapping[str, Any]]
    inputs: Inputs = dataclasses.field(default_factory=dict)
    repeatable: bool = False


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a point: its numbers, by which commit (None outside a repository), in how many hours, and by how much work
    (see `remid_jax.sweeps.work`), where that was counted."""

    identity: Identity
    git_revision: str | None
    hours: float
    summary: Mapping[str, object]
    work: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns it as a JSON object: {"key", "git_revision", "hours", "summary", "identity"}, and "work" if there was any."""
        return {
            "key": self.identity.key,
            "git_revision": self.git_revision,
            "hours": self.hours,
            "summary": dict(self.summary),
            "identity": self.identity.as_json(),
        } | ({"work": dict(self.work)} if self.work else {})

    @classmethod
    def from_json(cls, entry: object, place: str, mend: str) -> Done:
        """Reads what `as_json` gave.

        Raises:
          UserError: if it is something else, or the key is not the identity's.
        """
        if not isinstance(entry, dict) or not {"key", "git_revision", "hours", "summary", "identity"} <= entry.keys():
            raise UserError(f"{place}: is no account of a point that is done: {mend}")
        identity = Identity.from_json(entry["identity"])
        if identity.key != entry["key"]:
            raise UserError(f"{place}: its key is not that of its identity, so one of them was changed by hand: {mend}")
        return cls(identity, entry["git_revision"], entry["hours"], entry["summary"], entry.get("work", {}))


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a point could not be run: the `key` of its identity, the `error` in a line, and the file that has more (`log`)."""

    key: str
    error: str
    log: str

    def as_json(self) -> dict[str, str]:
        """Returns it as a JSON object: {"key", "error", "log"}."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, entry: object, place: str, mend: str) -> Failure:
        """Reads what `as_json` gave.

        Raises:
          UserError: if it is something else.
        """
        if not isinstance(entry, dict) or not {"key", "error", "log"} <= entry.keys():
            raise UserError(f"{place}: is no account of a point that failed: {mend}")
        return cls(entry["key"], entry["error"], entry["log"])


@dataclasses.dataclass(frozen=True)
class Plan:
    """Points in order, each behind those that it needs; what each is; and the tasks by name. Made by `planned`."""

    points: Sequence[Point]
    identities: Mapping[str, Identity]
    tasks: Mapping[str, Task]

    def missing(self, names: Container[str], done: Container[str], workdir: Path) -> list[Point]:
        """Returns the points to run, in order: those of `names` that are not `done`, and before them those that they need and
        whose files are not in the workdir, though they be done elsewhere."""
        wanted: set[str] = set()
        for point in reversed(self.points):
            if (point.name in names and point.name not in done) or point.name in wanted:
                wanted.add(point.name)
                wanted.update(need for need in point.needs if need not in done or not self.is_here(need, workdir))
        return [point for point in self.points if point.name in wanted]

    def is_outdated(self, point: Point, saved: Identity) -> bool:
        """Returns whether a point that was `saved` is to be run again, since nothing but its inputs has changed, in place."""
        return self.tasks[point.task].repeatable and saved.differs_in_place(self.identities[point.name])

    def check_folder(self, point: Point, workdir: Path) -> None:
        """Raises UserError if another run than that of `point` was begun in its folder below `workdir`."""
        folder = workdir / point.name
        if (folder / ACCOUNT).is_file():
            saved = Identity.from_json(_account(folder)["identity"])
            if not self.is_outdated(point, saved):
                mend = "use the config it was begun with, another workdir, or delete that folder"
                check_same(saved, self.identities[point.name], str(folder), mend)

    def compute(self, point: Point, workdir: Path, surroundings: Surroundings) -> Done:
        """Runs a point in its folder below `workdir`, or goes on with it there; what is done there is not run again.

        A repeatable point whose inputs were changed in place is run again over what it wrote. If another process computes the
        point there, it is waited for, and what that found is taken.

        Raises:
          UserError: if another run was begun in that folder.
        """
        folder = workdir / point.name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with claimed(folder, lambda: surroundings.progress.say(f"{point.name}: waiting for the process that computes it")):
            self.check_folder(point, workdir)
            remove_leftovers(folder)
            account, identity = _account(folder) if (folder / ACCOUNT).is_file() else {}, self.identities[point.name]
            if not account or Identity.from_json(account["identity"]).key != identity.key:
                _write(folder, {"identity": identity.as_json()})
            elif "summary" in account:
                return Done.from_json(account, str(folder / ACCOUNT), "delete that folder")
            return self._computed(point, workdir, surroundings)

    def is_here(self, name: str, workdir: Path) -> bool:
        """Returns whether a point was run to its end in the workdir, as the run that it is now."""
        if not (workdir / name / ACCOUNT).is_file():
            return False
        return _account(workdir / name).get("key") == self.identities[name].key

    def is_begun(self, name: str, workdir: Path) -> bool:
        """Returns whether a run of the point was begun in the workdir and has not come to its end."""
        return (workdir / name / ACCOUNT).is_file() and "key" not in _account(workdir / name)

    def _computed(self, point: Point, workdir: Path, surroundings: Surroundings) -> Done:
        work: Counter[str] = Counter()

        def count(more: Mapping[str, int]) -> None:
            work.update(more)
            surroundings.count(more)

        began, revision = time.monotonic(), program.described()["git_revision"]  # as it is now: a run may outlast a commit
        within, folder = dataclasses.replace(surroundings, count=count), workdir / point.name
        summary = self.tasks[point.task].run(point.placed(workdir), folder, within)
        done = Done(self.identities[point.name], revision, (time.monotonic() - began) / 3600, summary, work)
        _write(folder, done.as_json())
        return done


def planned(points: Sequence[Point], tasks: Mapping[str, Task], versions: Mapping[str, object]) -> Plan:
    """Returns the plan of `points`; `versions` are ours, on which all numbers depend.

    Raises:
      UserError: as `remid_jax.sweeps.points.ordered`, or if an input of a point cannot be read.
    """
    in_order = ordered(points, tasks)
    return Plan(in_order, identities(in_order, {name: task.inputs for name, task in tasks.items()}, versions), tasks)


def _account(folder: Path) -> dict[str, Any]:
    account = read_object(folder / ACCOUNT, "delete that folder")
    if "identity" not in account:
        raise UserError(f"{folder / ACCOUNT}: is no account of a point: delete that folder")
    return account


def _write(folder: Path, account: Mapping[str, object]) -> None:
    write_text(folder / ACCOUNT, json.dumps(account, indent=1, ensure_ascii=False) + "\n")
