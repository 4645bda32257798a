"""Whether R-EMI and the like agree with a judge over evaluations whose replies were judged apart, each in a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from remid_jax.errors import UserError
from remid_jax.evaluation.judging import RESULTS, agreement_over_cells
from remid_jax.evaluation.replies_of_runs import Metrics, replies_of_runs
from remid_jax.files import read_object
from remid_jax.information.agreement import mean_estimate
from remid_jax.information.intervals import Estimate


def joint_agreement(
    runs: Sequence[str], controls: Sequence[str], judged: Sequence[str], level: float, seed: int
) -> dict[str, Any]:
    """Returns how metrics of evaluations agree with the ratings of their replies, over systems x categories.

    Args:
      runs: workdirs of evaluations.
      controls: the control policies of the first that were judged, too.
      judged: folders, each with the judge.json of some of these systems.
      level, seed: of intervals.

    Returns:
      {"judge": who judged, "systems": how many, "metrics": {criterion: {metric: {measure: estimate}}},
       "means": {system: {metric: its mean over categories, which are the clusters of its interval}}}

    Raises:
      UserError: as `replies_of_runs`; if there is no judge.json, one is of another judge or of other prompts, or a system was
        judged twice or not at all.
    """
    _, metrics = replies_of_runs(runs, controls)
    systems = [*(Path(run).name for run in runs), *controls]
    ratings: dict[str, dict[str, dict[str, Estimate]]] = {}
    judges: dict[str, object] = {}
    for folder in judged:
        found = read_object(Path(folder) / RESULTS, "name a folder of experiments.judge")
        judges[folder] = (found["judge"], found["settings"]["prompts"])
        first = next(iter(judges))
        if judges[folder] != judges[first]:
            raise UserError(f"{folder}: another judge, or one with other prompts, than in {first}: judge all replies alike")
        for system, of_system in found["ratings"].items():
            if system in ratings:
                raise UserError(f"{folder}: {system!r} was judged in another folder, too: name one of them")
            ratings[system] = of_system
    if missing := [system for system in systems if system not in ratings]:
        raise UserError(f"{', '.join(judged)}: no ratings of {', '.join(missing)}: judge these, too")
    wanted = {system: ratings[system] for system in systems}
    return {
        "judge": found["judge"],
        "systems": len(systems),
        "metrics": agreement_over_cells(wanted, metrics, level, seed),
        "means": {system: _means(system, metrics, level, seed) for system in systems},
    }


def _means(system: str, metrics: Metrics, level: float, seed: int) -> dict[str, Any]:
    found = {}
    for metric, of_cells in metrics.items():
        own = {category: number for (whose, category), number in of_cells.items() if whose == system}
        values = np.array([np.nan if number["value"] is None else number["value"] for number in own.values()])
        unit = next(iter(own.values()))["unit"]
        found[metric] = mean_estimate(values, np.array(list(own)), unit, level, seed)
    return found
