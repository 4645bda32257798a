"""One try at a point, whatever comes of it; and which points there is to try."""

from __future__ import annotations

import dataclasses
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from remid_jax.disk import is_out_of_room, writing_error
from remid_jax.errors import UserError
from remid_jax.learning.stopped import Stopped
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.logs import LOG, logged
from remid_jax.sweeps.plan import Done, Failure, Plan, Surroundings
from remid_jax.sweeps.points import Point


@dataclasses.dataclass
class Outcome:
    """What came of a launch.

    Attributes:
      concerned: the points that it is about: those that are missing, and those that they need.
      run: the points that were run to their end, in that order.
      failed: {point: why}, also of those that had failed before and were not run again.
      waiting: {point that could not be run: the failed point that it needs}.
      work: what the points did (see `remid_jax.sweeps.work`).
    """

    concerned: Sequence[Point]
    run: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, Failure] = dataclasses.field(default_factory=dict)
    waiting: dict[str, str] = dataclasses.field(default_factory=dict)
    work: Counter[str] = dataclasses.field(default_factory=Counter)

    def fail(self, name: str, failure: Failure) -> None:
        """Notes a failed point, and those that wait for it."""
        self.failed[name] = failure
        for point in self.concerned:
            if point.name not in self.waiting and any(need == name or self.waiting.get(need) == name for need in point.needs):
                self.waiting[point.name] = name


def to_run(plan: Plan, index: Index, names: Sequence[str], workdir: Path, retry_failed: bool) -> tuple[list[Point], Outcome]:
    """Returns the points of `names` to run, in order, with those that they need; and the outcome so far.

    Points that failed before are left out unless `retry_failed`, and so are those that need them.

    Raises:
      UserError: if another run was begun in the folder of one of them.
    """
    outcome = Outcome(plan.missing(names, index, workdir))
    if not retry_failed:
        failures = index.failures
        for point in outcome.concerned:
            if point.name in failures:
                outcome.fail(point.name, failures[point.name])
    stuck = {*outcome.failed, *outcome.waiting}
    points = plan.missing([name for name in names if name not in stuck], index, workdir)
    for point in points:
        plan.check_folder(point, workdir)
    return points, outcome


def attempt(plan: Plan, point: Point, workdir: Path, surroundings: Surroundings) -> Done | Failure:
    """Runs a point, with a log in its folder; returns what came of it, be it an error.

    Raises:
      UserError: if the disk is full: the point is not to blame.
      Stopped: of `remid_jax.learning.stopped`, if a point that trains was asked to stop.
    """
    folder = workdir / point.name
    with logged(folder, surroundings.progress) as (progress, write):
        try:
            return plan.compute(point, workdir, dataclasses.replace(surroundings, progress=progress))
        except Stopped:
            raise
        except Exception as error:
            if is_out_of_room(error):
                raise writing_error(error) or error from error
            write("".join(traceback.format_exception(error)))
            return Failure(plan.identities[point.name].key, in_a_line(error), str(folder / LOG))


def in_a_line(error: BaseException) -> str:
    """Returns an error as one line: what is meant for people as it is, anything else with its kind."""
    said = " ".join(str(error).split())
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}".removesuffix(": ")
