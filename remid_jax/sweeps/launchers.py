"""Launchers run the points of a plan that are missing, and enter them into the index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from remid_jax.sweeps.index import Index
from remid_jax.sweeps.plan import Plan, Surroundings


def run_serially(
    plan: Plan, index: Index, names: Sequence[str], workdir: Path, surroundings: Surroundings,
    entered: Callable[[], None] = lambda: None,
) -> list[str]:  # fmt: skip
    """Runs the points of `names` that are missing, and those that they need, one after the other in this process.

    Killed, it goes on with the next run: what is done stands in the index, what is half done in its folder of the workdir.

    Args:
      plan: all points of the sweep.
      index: where those done are entered, each as soon as it is.
      names: the points that the sweep is for (see `remid_jax.sweeps.points.chosen`).
      workdir: a folder a point lies below it.
      surroundings: what tasks are given; its progress also hears what is done and what is run.
      entered: called after each entry.

    Returns:
      The names of the points that were run.

    Raises:
      UserError: if a point cannot be run.
      Stopped: of `remid_jax.learning.loop`, if a point that trains was asked to stop.
    """
    progress = surroundings.progress
    missing = plan.missing(names, index, workdir)
    if there := sum(name in index for name in names):
        progress.say(f"{there} of {len(names)} points stand in the index")
    for point in missing:
        if point.name in index.outdated:
            progress.say(f"{point.name} is run again: it differs in {index.outdated[point.name]}")
    for number, point in enumerate(missing, 1):
        progress.say(f"point {number} of {len(missing)}: {point.name}")
        done = plan.compute(point, workdir, surroundings)
        if point.name not in index:  # what is run only for its files, elsewhere done, keeps its numbers
            index.add(point.name, done)
            entered()
    return [point.name for point in missing]
