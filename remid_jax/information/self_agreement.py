"""How far a judge agrees with itself: in other words, in the other order, and between its ratings and its comparisons.

    {criterion: {"wordings": Spearman of the ratings of the same replies under two wordings,
                 "position_bias": how much likelier than by chance a reply is preferred where it is shown first, points,
                 "orders_agree": the share of comparisons in which both orders prefer the same reply,
                 "ratings_agree": the share of comparisons that the reply with the higher rating wins; ties count half}}

Each is an estimate with its interval over the lineages of contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from remid_jax.information.agreement import agreement_of, mean_estimate
from remid_jax.information.identification import TIED_WITHIN

Sections = dict[str, dict[str, Any]]


def self_agreement(
    criteria: Sequence[str],
    ratings: Float[np.ndarray, "n criteria wordings"],
    preferences: Float[np.ndarray, "pairs criteria 2"],
    pairs: Int[np.ndarray, "pairs 2"],
    lineage: np.ndarray,
    level: float,
    seed: int,
) -> Sections:
    """Returns the sections of the module docstring; without pairs, of ratings alone.

    Args:
      criteria: their names.
      ratings: of n replies.
      preferences: how likely the first reply of each pair is preferred, shown first and shown last; NaN, as in ratings, where
        the judge did not say.
      pairs: the numbers of the two replies of each pair.
      lineage: of each reply's context [n] str.
      level: of intervals.
      seed: of the groups of lineages, where there are many.
    """
    nobody = np.array([""] * len(lineage))
    result: Sections = {}
    for place, name in enumerate(criteria):
        first, second = ratings[:, place, 0], ratings[:, place, 1]
        result[name] = {"wordings": agreement_of(first, second, lineage, lineage, nobody, level, seed)["spearman"]}
        if not len(pairs):
            continue
        of_pair = lineage[pairs[:, 0]]
        chances = preferences[:, place]  # [pairs, orders]
        gap = ratings[pairs[:, 0], place].mean(axis=-1) - ratings[pairs[:, 1], place].mean(axis=-1)
        values = {
            "position_bias": (chances[:, 0] - chances[:, 1]) / 2,
            "orders_agree": np.where(np.isnan(chances).any(axis=1), np.nan, (chances[:, 0] > 0.5) == (chances[:, 1] > 0.5)),
            "ratings_agree": (1 + _sign(gap) * _sign(chances.mean(axis=-1) - 0.5)) / 2,
        }
        units = {"position_bias": "points"}
        result[name] |= {
            quantity: mean_estimate(of, of_pair, units.get(quantity, "share"), level, seed) for quantity, of in values.items()
        }
    return result


def _sign(gap: np.ndarray) -> np.ndarray:
    return np.where(np.abs(gap) <= TIED_WITHIN, 0.0, np.sign(gap))
