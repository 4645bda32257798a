"""Points of a sweep: each a run of a task, of some config, after the points that it needs."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import graphlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError
from remid_jax.settings import flat

MARK = "point:"
SHARED_STORE = "store.sqlite"  # of finished device work, below a sweep's workdir
SHOWN = 20  # names in an error line
NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


@dataclasses.dataclass(frozen=True)
class Point:
    """A run of `task`, of a nested `config`.

    `name` says where its files lie below the sweep's workdir. `needs` are the points that come before it; a setting that is to
    be a file of one of them has the value `output(its name, the file)`.
    """

    name: str
    task: str
    config: Mapping[str, object]
    needs: tuple[str, ...] = ()

    def outputs(self) -> dict[str, tuple[str, str]]:
        """Returns {dotted setting: (point that it is an output of, file)}.

        Raises:
          UserError: if a setting is the output of a point that is not needed.
        """
        settings = {name: value for name, value in flat(self.config).items() if str(value).startswith(MARK)}
        return {name: self._output(name, value.removeprefix(MARK)) for name, value in settings.items()}

    def _output(self, setting: str, place: str) -> tuple[str, str]:
        # The longest: a point may lie in another's folder.
        for need in sorted(self.needs, key=len, reverse=True):
            if place.startswith(f"{need}/"):
                return need, place.removeprefix(f"{need}/")
        raise UserError(f"point {self.name}: {setting}={MARK}{place} is of no point that it needs: name that in its needs")

    def placed(self, workdir: Path) -> dict[str, Any]:
        """Returns the config as the task gets it.

        Paths of outputs lie below `workdir`; so does the store of finished device work, which all share, unless one is named.
        """
        paths = {name: str(workdir / need / file) for name, (need, file) in self.outputs().items()}
        if "store" in self.config and not self.config["store"]:
            paths["store"] = str(workdir / SHARED_STORE)
        return _replaced(self.config, paths)


def output(point: str, file: str) -> str:
    """Returns the value of a setting that is to be a file, or folder, that another point writes."""
    return f"{MARK}{point}/{file}"


def ordered(points: Sequence[Point], tasks: Collection[str]) -> list[Point]:
    """Returns the points in their order, but each behind those that it needs.

    Raises:
      UserError: one line of all faults: two points of one name, a name that is none of a folder, an unknown task or need, a
        setting that is the output of a point that is not needed; or points that need one another in a circle.
    """
    if faults := list(_faults(points, tasks)):
        raise UserError("; ".join(faults))
    named = {point.name: point for point in points}
    try:
        graphlib.TopologicalSorter({point.name: point.needs for point in points}).prepare()
    except graphlib.CycleError as error:
        raise UserError(f"points need one another in a circle: {' -> '.join(reversed(error.args[1]))}: break it") from error
    order: dict[str, Point] = {}

    def place(name: str) -> None:
        if name not in order:
            for need in named[name].needs:
                place(need)
            order[name] = named[name]

    for name in named:
        place(name)
    return list(order.values())


def _faults(points: Sequence[Point], tasks: Collection[str]) -> Iterator[str]:
    counts = Counter(point.name for point in points)
    for name, count in counts.items():
        if count > 1:
            yield f"{count} points are named {name}: give each a name of its own"
        if not NAME.fullmatch(name):
            yield f"point {name!r}: must be named like a folder: of letters, digits, '.', '-' and '_', with '/' between words"
    for point in points:
        if point.task not in tasks:
            yield f"point {point.name}: unknown task {point.task!r}: choose one of {', '.join(tasks)}"
        for need in point.needs:
            if need not in counts:
                near = difflib.get_close_matches(need, counts, 1)
                yield f"point {point.name}: needs {need}, which is no point" + (f" (did you mean {near[0]}?)" if near else "")
        try:
            point.outputs()
        except UserError as fault:
            yield str(fault)


def chosen(points: Sequence[Point], patterns: Sequence[str]) -> list[str]:
    """Returns the names of the points that a sweep is for: those that match a pattern, such as "train/*".

    Without a pattern they are those that no other point needs: others are only run for them.

    Raises:
      UserError: for a pattern that no point matches.
    """
    needed = {need for point in points for need in point.needs}
    if not patterns:
        return [point.name for point in points if point.name not in needed]
    names = [point.name for point in points]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise UserError(f"config.only: no point matches {pattern!r}: the points are {', '.join(names[:SHOWN])}{more}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _replaced(config: Mapping[str, object], values: Mapping[str, object], above: str = "") -> dict[str, Any]:
    return {
        name: _replaced(value, values, f"{above}{name}.") if isinstance(value, Mapping) else values.get(f"{above}{name}", value)
        for name, value in config.items()
    }
