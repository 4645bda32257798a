"""Coverage of the intervals of differences between two runs, on the worlds of `coverage_study`, where the truth is known.

The baseline's policy is the world's own; the run's confuses contexts half as often. Both answer the same contexts: with random
numbers of their own, or with common ones (`alike`), so that most replies are equal, as those of near checkpoints may be. A
lineage is a context of IDTest and one of the shifted category, as often the same as their laws allow. An interval is asked to
cover the difference of the population values: exact for `club`; for the others the mean of the very estimator over many more
tables. The golden term cancels. Where few replies changed, the jackknife sees too little of what may change, so an interval
counts as validated by the number of lineages whose replies changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from remid_jax.information.intervals import VALIDATED_FROM, jackknife
from remid_jax.information.measurement import ESTIMATORS
from remid_jax.validation import coverage_study as study
from remid_jax.validation.coverage_study import Channel

SIZES = (16, 32)


class Paired(NamedTuple):
    """Scores of two runs on the same records, as `coverage_study.draw_tables` gives them for one: log q [tables, 4, n, n] and
    log q_0 [tables, 4, n] of golden and policy replies of IDTest and of the category."""

    baseline: tuple[np.ndarray, np.ndarray]
    run: tuple[np.ndarray, np.ndarray]


def run_policy(of: Channel) -> np.ndarray:
    """Returns the kernel of the run's policy: half way from the baseline's to the golden replies'."""
    return (of.policy + of.golden) / 2


def draw_paired(of: Channel, n: int, tables: int, alike: bool, rng: np.random.Generator) -> Paired:
    """Draws the scores of both runs; item i of both categories is of one lineage. `alike`: with common random numbers."""
    common = np.minimum(*of.laws)
    same = rng.random((tables, n)) < common.sum()
    shared = rng.choice(study.CONTEXTS, (tables, n), p=common / common.sum())
    logs, nowhere = np.log(of.critic), np.log(of.laws[0] @ of.critic)
    scores = [np.empty((tables, 4, n, n)) for _ in range(2)]
    marginals = [np.empty((tables, 4, n)) for _ in range(2)]
    for side, law in enumerate(of.laws):
        rest = law - common
        x = np.where(same, shared, rng.choice(study.CONTEXTS, (tables, n), p=rest / rest.sum()))
        chance = rng.random((3, tables, n, 1))  # of golden replies, of the baseline's, of the run's
        for run, policy in enumerate((of.policy, run_policy(of))):
            for k, kernel in enumerate((of.golden, policy)):
                y = (chance[k * (1 if alike else 1 + run)] > kernel.cumsum(1)[x]).sum(-1).clip(max=kernel.shape[1] - 1)
                scores[run][:, 2 * side + k] = logs[x[:, :, None], y[:, None, :]]
                marginals[run][:, 2 * side + k] = nowhere[y]
    return Paired((scores[0], marginals[0]), (scores[1], marginals[1]))


def changed(drawn: Paired) -> np.ndarray:
    """Returns the lineages whose policy replies are others in the run than in the baseline: [tables, 2 categories]."""
    other = (drawn.run[0][:, 1::2] != drawn.baseline[0][:, 1::2]).any(axis=2)
    return other.sum(-1)


def differences(drawn: Paired, n: int) -> dict[str, dict[str, np.ndarray]]:
    """Returns {estimator: {"emi" of IDTest, "emid"}}: run minus baseline [tables, 1 + n], then without each lineage."""
    replicates = [
        {name: np.asarray(values) for name, values in study.replicated(n)(*map(jnp.asarray, of_run)).items()}
        for of_run in drawn
    ]
    found = {}
    for name in ESTIMATORS:
        change = replicates[1][name] - replicates[0][name]
        if name == "mixture":  # an item of the other category moves the scale of the critic
            elsewhere = replicates[1]["elsewhere"] - replicates[0]["elsewhere"]
            change = change + elsewhere - elsewhere[:, :, :1]
        found[name] = {"emi": change[:, 1], "emid": change[:, 1] - change[:, 3]}
    return found


def population(of: Channel) -> dict[str, float]:
    """Returns the exact differences of `club`."""
    side = [of.population_club(run_policy(of), law) - of.population_club(of.policy, law) for law in of.laws]
    return {"emi": side[0], "emid": side[0] - side[1]}


def coverage(
    of: Channel, n: int, replications: int, alike: bool, seed: int, report: Callable[[int, int], None]
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns {estimator: {"emi" of IDTest | "emid": found}} of 95% intervals.

    Found are "coverage"; "validated", the share of intervals that so many changed lineages make validated ones, and
    "coverage_validated" of these; "value" of the population, and the mean "half_width".
    """
    rng = np.random.default_rng([seed, n])
    whole: list[dict[str, dict[str, np.ndarray]]] = []
    more: list[dict[str, np.ndarray]] = []
    counts: list[np.ndarray] = []
    with jax.enable_x64(True):
        for first in range(0, replications, study.AT_ONCE):
            tables = min(study.AT_ONCE, replications - first)
            drawn = draw_paired(of, n, tables, alike, rng)
            whole.append(differences(drawn, n))
            counts.append(changed(drawn))
            for _ in range(study.POPULATION_TABLES):
                values = [study.estimated(n)(*map(jnp.asarray, of_run)) for of_run in draw_paired(of, n, tables, alike, rng)]
                more.append({name: np.asarray(values[1][name] - values[0][name]) for name in ESTIMATORS})
            report(first + tables, replications)
    of_id, of_both = np.concatenate(counts)[:, 0], np.concatenate(counts).min(axis=1)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ESTIMATORS:
        change = np.concatenate([part[name] for part in more]).mean(0)
        value = population(of) if name == "club" else {"emi": change[1], "emid": change[1] - change[3]}
        for quantity, target in value.items():
            ends = np.array([
                jackknife(row[1:], row[0], 0.95) for row in np.concatenate([part[name][quantity] for part in whole])
            ])  # fmt: skip
            held = (ends[:, 0] <= target) & (target <= ends[:, 1])
            validated = (of_id if quantity == "emi" else of_both) >= VALIDATED_FROM[name]
            found.setdefault(name, {})[quantity] = {
                "coverage": float(held.mean()),
                "validated": float(validated.mean()),
                "coverage_validated": float(held[validated].mean()) if validated.any() else float("nan"),
                "value": float(target),
                "half_width": float(np.mean(ends[:, 1] - ends[:, 0]) / 2),
            }
    return found
