"""Launchers run the points of a plan that are missing, and enter them into the index. This one does it in its own process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from remid_jax.sweeps.attempts import Outcome, attempt, to_run
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.plan import Done, Plan, Surroundings


def run_serially(
    plan: Plan, index: Index, names: Sequence[str], workdir: Path, surroundings: Surroundings,
    retry_failed: bool = False, entered: Callable[[Index], None] = lambda index: None,
) -> Outcome:  # fmt: skip
    """Runs the points of `names` that are missing, and those that they need, one after the other in this process.

    Killed, it goes on with the next run: what is done stands in the index, what is half done in its folder of the workdir. A
    point that fails is entered as that, and those that do not need it are run all the same.

    Args:
      plan: all points of the sweep.
      index: where those done are entered, each as soon as it is.
      names: the points that the sweep is for (see `remid_jax.sweeps.points.chosen`).
      workdir: a folder a point lies below it.
      surroundings: what tasks are given; its progress also hears what is done and what is run.
      retry_failed: whether points that failed before are run again.
      entered: called after each entry.

    Raises:
      UserError: if a folder holds another run, or the disk is full.
      Stopped: of `remid_jax.learning.stopped`, if a point that trains was asked to stop.
    """
    progress = surroundings.progress
    points, outcome = to_run(plan, index, names, workdir, retry_failed)
    say_what_is_known(index, names, [point.name for point in points], surroundings)
    within = dataclasses.replace(surroundings, count=outcome.work.update)
    try:
        for number, point in enumerate(points, 1):
            if point.name in outcome.waiting:
                continue
            progress.say(f"point {number} of {len(points)}: {point.name}")
            result = attempt(plan, point, workdir, within)
            if isinstance(result, Done):
                outcome.run.append(point.name)
            else:
                outcome.fail(point.name, result)
                progress.say(f"{point.name} failed: {result.error}")
            if point.name not in index:  # what is run only for its files, elsewhere done, keeps its numbers
                index.add(point.name, result)
                entered(index)
    finally:
        index.save()
    return outcome


def say_what_is_known(index: Index, names: Sequence[str], to_run: Sequence[str], surroundings: Surroundings) -> None:
    """Says how many points are done, and why some of those to be run are run again."""
    progress = surroundings.progress
    if there := sum(name in index for name in names):
        progress.say(f"{there} of {len(names)} points stand in the index")
    for name in to_run:
        if name in index.outdated:
            progress.say(f"{name} is run again: it differs in {index.outdated[name]}")
