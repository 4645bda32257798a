"""Coverage of intervals of `club` where a cross-fitted estimator parts contexts in two folds (docs/protocol.md, rule 10).

EMI of a table is then the mean of two tables of half the size, and the jackknife leaves out one item of either at a time.
Small tables make the jackknife of `club`, a statistic of pairs, too large, so intervals are wide: of two folds of 8 or of 16
they held the truth in 94 to 98% of 1,000 cases in every world, of whole replies that copy nothing and of the novel part.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from remid_jax.validation import copying_study, coverage_study
from remid_jax.validation.copying_study import CopyingWorld
from remid_jax.validation.coverage_study import AT_ONCE, Channel, covered

FOLDS = 2
Sides = tuple[np.ndarray, np.ndarray]
"""EMI in IDTest and in the category, [tables, 1 + n]: of all items, then without each."""


def coverage(world: Channel | CopyingWorld, n: int, replications: int, seed: int) -> dict[str, float]:
    """Returns how often nominal 95% intervals of EMI in IDTest ("emi") and of R-EMID ("emid") hold the exact values.

    Args:
      world: a `Channel`, of whole replies, or a `CopyingWorld`, of their novel part.
      n: contexts of a fold.
    """
    rng = np.random.default_rng([seed, n, FOLDS])
    counts = [min(AT_ONCE, replications - first) for first in range(0, replications, AT_ONCE)]
    tables = [[_sides(world, n, count, rng) for _ in range(FOLDS)] for count in counts]
    folds = [tuple(np.concatenate([table[fold][side] for table in tables]) for side in (0, 1)) for fold in range(FOLDS)]
    here, there = (_mean_of_folds([fold[side] for fold in folds]) for side in (0, 1))
    of_here, of_there = (_exact(world, side) for side in (0, 1))
    lost = np.concatenate([here[:, 1:] - there[:, :1], here[:, :1] - there[:, 1:]], axis=1)
    return {
        "emi": covered(here[:, 0], here[:, 1:], of_here),
        "emid": covered(here[:, 0] - there[:, 0], lost, of_here - of_there),
    }


def _mean_of_folds(folds: list[np.ndarray]) -> np.ndarray:
    """The mean of folds [tables, 1 + n] with each item of any fold left out: [tables, 1 + folds n]."""
    whole = sum(fold[:, :1] for fold in folds) / len(folds)
    return np.concatenate([whole, *(whole + (fold[:, 1:] - fold[:, :1]) / len(folds) for fold in folds)], axis=1)


def _sides(world: Channel | CopyingWorld, n: int, tables: int, rng: np.random.Generator) -> Sides:
    if isinstance(world, CopyingWorld):
        drawn = copying_study.draw_tables(world, n, tables, rng)
        here, there = copying_study.estimates(world, drawn, True)["club", "novel"]
        return here, there
    with jax.enable_x64(True):
        scores = map(jnp.asarray, coverage_study.draw_tables(world, n, tables, rng))
        club = np.asarray(coverage_study.replicated(n)(*scores)["club"])
    return club[:, 1] - club[:, 0], club[:, 3] - club[:, 2]


def _exact(world: Channel | CopyingWorld, side: int) -> float:
    if isinstance(world, CopyingWorld):
        return world.population_club(side, "novel")
    golden, policy = (world.population_club(kernel, world.laws[side]) for kernel in (world.golden, world.policy))
    return policy - golden
