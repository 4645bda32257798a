"""The index of a sweep: what is done, by point, in one JSON file that people can read; it is written whole or not at all.

{"schema_version", "points": {name: {"key", "git_revision", "hours", "summary", "identity"}}}

`summary` holds a point's numbers, `identity` all they depend on (see `remid_jax.identity`), of which `key` is a hash. A point
that stands there under the same identity is done, wherever it was computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.sweeps.plan import Done, Plan

SCHEMA_VERSION = 3
MEND = "mend it, or name another config.output"


class Index:
    """The points of `plan` that are done, kept in the file `path`. Points of no name in the plan are kept there as they are.

    A point that `plan` wants run again, as its inputs were changed in place, stays in the file until it is, but is not done.

    Attributes:
      outdated: {point to be run again: in what its inputs differ}.

    Raises:
      UserError: if the file is broken, or holds a point that the plan asks for otherwise: it would be lost.
    """

    def __init__(self, path: str | Path, plan: Plan):
        self._path, self._own = Path(path), [point.name for point in plan.points]
        self._done = _read(self._path) if self._path.is_file() else {}
        self.outdated = {
            point.name: ", ".join(done.identity.differences(plan.identities[point.name]))
            for point in plan.points
            if (done := self._done.get(point.name)) is not None and plan.is_outdated(point, done.identity)
        }
        if changed := self._changed(plan):
            raise UserError(
                f"{path}: holds points that this config asks for otherwise: {'; '.join(changed)}: use the config they were "
                "computed with, name another config.output, or delete them from the file"
            )

    def __contains__(self, name: object) -> bool:
        return name in self._done and name not in self.outdated

    def summary(self, name: str) -> Mapping[str, Any]:
        """Returns the numbers of a point that is done."""
        return self._done[name].summary

    def add(self, name: str, done: Done) -> None:
        """Enters a point and writes the file."""
        self._done[name] = done
        self.outdated.pop(name, None)
        # In the plan's order, whatever was done first.
        order = dict.fromkeys([*(own for own in self._own if own in self._done), *self._done])
        content = {"schema_version": SCHEMA_VERSION, "points": {point: self._done[point].as_json() for point in order}}
        write_text(self._path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def _changed(self, plan: Plan) -> list[str]:
        """What differs, and in which points; a point that differs because one that it needs does says nothing more."""
        alike: dict[str, list[str]] = {}
        changed: set[str] = set()
        for point in plan.points:
            identity, done = plan.identities[point.name], self._done.get(point.name)
            if done is not None and done.identity.key != identity.key and point.name not in self.outdated:
                if changed.isdisjoint(point.needs):
                    alike.setdefault(", ".join(done.identity.differences(identity)), []).append(point.name)
                changed.add(point.name)
        return [f"{_named(names)} in {differences}" for differences, names in alike.items()]


def _named(names: list[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more differ" if others else f"{first} differs"


def _read(path: Path) -> dict[str, Done]:
    content = read_object(path, MEND)
    if content.get("schema_version") != SCHEMA_VERSION or not isinstance(content.get("points"), dict):
        raise UserError(f"{path}: is no index of a sweep of this version: {MEND}")
    return {name: Done.from_json(entry, f"{path}: {name}", MEND) for name, entry in content["points"].items()}
