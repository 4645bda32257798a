"""The index of a sweep: what is done, and what failed, by point, in one JSON file that people can read.

{"schema_version", "points": {name: {"key", "git_revision", "hours", "summary", "identity"}}}    and, where there is any,
{"failed": {name: {"key", "error", "log"}}}

`summary` holds a point's numbers, `identity` all they depend on (see `remid_jax.identity`), of which `key` is a hash. A point
that stands there under the same identity is done, wherever it was computed.

The file is written whole or not at all. To write it anew for every point would take the square of their number, so each entry
first goes to a journal beside it, and the file follows at a pace and at the end (`save`). Readers take both.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.sweeps.journal import Journal
from remid_jax.sweeps.pace import Pace
from remid_jax.sweeps.plan import Done, Failure, Plan

SCHEMA_VERSION = 3
MEND = "mend it, or name another config.output"


@dataclasses.dataclass
class Entries:
    """What an index holds, by point. A point that is done has not failed."""

    done: dict[str, Done] = dataclasses.field(default_factory=dict)
    failed: dict[str, Failure] = dataclasses.field(default_factory=dict)

    def enter(self, name: str, outcome: Done | Failure) -> None:
        """Takes what came of a point last; what was done stays so, though a later run of it failed."""
        if isinstance(outcome, Done):
            self.done[name] = outcome
            self.failed.pop(name, None)
        else:
            self.failed[name] = outcome


class Index:
    """The points of `plan` that are done, kept in the file `path`. Points of no name in the plan are kept there as they are.

    A point that `plan` wants run again, as its inputs were changed in place, stays in the file until it is, but is not done.
    What stands in the indexes `beside` it, such as that of the whole sweep beside that of a shard, is done, too.

    Attributes:
      outdated: {point to be run again: in what its inputs differ}.

    Raises:
      UserError: if a file is broken, or holds a point that the plan asks for otherwise: it would be lost.
    """

    def __init__(self, path: str | Path, plan: Plan, beside: Sequence[str | Path] = ()):
        self._path, self._plan, self._journal, self._pace = Path(path), plan, Journal(journal_beside(path)), Pace()
        self._beside = [str(other) for other in beside]
        self._keys = {name: identity.key for name, identity in plan.identities.items()}
        self.refresh()

    @property
    def places(self) -> list[str]:
        """The file, and those beside it."""
        return [str(self._path), *self._beside]

    def refresh(self) -> None:
        """Reads the files, into which others may have entered more.

        Raises:
          UserError: as this class.
        """
        plan = self._plan
        self._own, self._unsaved = read_entries(self._path, self._journal)
        self._all = Entries()
        for entries in (*(read_entries(other)[0] for other in self._beside), self._own):
            self._all = Entries(self._all.done | entries.done, self._all.failed | entries.failed)
        self.outdated = {
            point.name: ", ".join(done.identity.differences(plan.identities[point.name]))
            for point in plan.points
            if (done := self._all.done.get(point.name)) is not None and plan.is_outdated(point, done.identity)
        }
        if changed := self._changed():
            raise UserError(
                f"{self._path}: holds points that this config asks for otherwise: {'; '.join(changed)}: use the config they "
                "were computed with, name another config.output, or delete them from the file"
            )

    def __contains__(self, name: object) -> bool:
        return name in self._all.done and name not in self.outdated

    @property
    def failures(self) -> Mapping[str, Failure]:
        """What failed and is not done, as the plan asks for it now: with other settings it has another chance."""
        failed = self._all.failed.items()
        return {name: failure for name, failure in failed if failure.key == self._keys.get(name) and name not in self}

    def summary(self, name: str) -> Mapping[str, Any]:
        """Returns the numbers of a point that is done."""
        return self._all.done[name].summary

    def done(self, name: str) -> Done:
        """Returns what came of a point that is done."""
        return self._all.done[name]

    def add(self, name: str, outcome: Done | Failure) -> None:
        """Enters what came of a point; it is on the disk when this returns.

        Raises:
          UserError: if the disk is full; what was entered before stays.
        """
        kind = "done" if isinstance(outcome, Done) else "failed"
        self._journal.add({"name": name, kind: outcome.as_json()})
        self._unsaved = True
        self.take(name, outcome)
        self._pace(self.save)

    def take(self, name: str, outcome: Done | Failure) -> None:
        """Takes note of what another process entered into the file."""
        for entries in (self._own, self._all):
            entries.enter(name, outcome)
        if isinstance(outcome, Done):
            self.outdated.pop(name, None)

    def save(self) -> None:
        """Writes the file, if anything was entered since it was written.

        Raises:
          UserError: if it cannot be written; what was entered stays in the journal.
        """
        if not self._unsaved:
            return
        # In the plan's order, whatever was done first.
        names = [point.name for point in self._plan.points]
        write_text(self._path, as_text(self._own, names))
        self._journal.clear()
        self._unsaved = False

    def _changed(self) -> list[str]:
        """What differs, and in which points; a point that differs because one that it needs does says nothing more."""
        alike: dict[str, list[str]] = {}
        changed: set[str] = set()
        for point in self._plan.points:
            identity, done = self._plan.identities[point.name], self._all.done.get(point.name)
            if done is not None and done.identity.key != self._keys[point.name] and point.name not in self.outdated:
                if changed.isdisjoint(point.needs):
                    alike.setdefault(", ".join(done.identity.differences(identity)), []).append(point.name)
                changed.add(point.name)
        return [f"{_named(names)} in {differences}" for differences, names in alike.items()]


def journal_beside(path: str | Path) -> Path:
    """Returns the journal of the index `path`."""
    return Path(f"{path}.journal")


def read_entries(path: str | Path, journal: Journal | None = None) -> tuple[Entries, bool]:
    """Returns what the index `path` and its journal hold, and whether the journal holds anything.

    Raises:
      UserError: if one of them is broken.
    """
    entries = _of_file(Path(path)) if Path(path).is_file() else Entries()
    place = journal_beside(path)
    added = (journal or Journal(place)).entries()
    for entry in added:
        name = str(entry.get("name"))
        if "done" in entry:
            entries.enter(name, Done.from_json(entry["done"], f"{place}: {name}", MEND))
        else:
            entries.enter(name, Failure.from_json(entry.get("failed"), f"{place}: {name}", MEND))
    return entries, bool(added)


def as_text(entries: Entries, order: Sequence[str]) -> str:
    """Returns the file of an index: the points of `order` first, in that order."""
    points = dict.fromkeys([*(name for name in order if name in entries.done), *entries.done])
    content: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "points": {name: entries.done[name].as_json() for name in points},
    }
    if entries.failed:
        content["failed"] = {name: failure.as_json() for name, failure in sorted(entries.failed.items())}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _named(names: list[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more differ" if others else f"{first} differs"


def _of_file(path: Path) -> Entries:
    content = read_object(path, MEND)
    failed = content.get("failed", {})
    if content.get("schema_version") != SCHEMA_VERSION or not all(
        isinstance(group, dict) for group in (content.get("points"), failed)
    ):
        raise UserError(f"{path}: is no index of a sweep of this version: {MEND}")
    return Entries(
        {name: Done.from_json(entry, f"{path}: {name}", MEND) for name, entry in content["points"].items()},
        {name: Failure.from_json(entry, f"{path}: {name}", MEND) for name, entry in failed.items()},
    )
