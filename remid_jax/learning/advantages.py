"""Group advantages: what a reply was better at than its siblings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FLOOR = 1e-4  # added to the standard deviation, as the authors do


class Advantages(NamedTuple):
    """`values` [P, G] are 0 where a completion is not `counted`; `flat` [P]: the group taught nothing."""

    values: np.ndarray
    counted: np.ndarray
    flat: np.ndarray


def group_advantages(rewards: Float[np.ndarray, "P G"], least_std: float = 1e-6) -> Advantages:
    """Returns (R - mean) / (std + 1e-4) within each group (docs/metric.md, section 5).

    The standard deviation is the sample's (G - 1). Rewards are continuous, so a group whose deviation is at most `least_std`
    has nothing but rounding to teach: its advantages are 0. Rewards that are not finite are left out, of the statistics too.
    """
    rewards = np.asarray(rewards, np.float64)
    counted = np.isfinite(rewards)
    known, number = np.where(counted, rewards, 0.0), counted.sum(1, keepdims=True)
    mean = known.sum(1, keepdims=True) / np.maximum(number, 1)
    away = np.where(counted, known - mean, 0.0)
    std = np.sqrt((away**2).sum(1, keepdims=True) / np.maximum(number - 1, 1))
    flat = ~((number >= 2) & (std > least_std))
    return Advantages(np.where(flat, 0.0, away / (std + FLOOR)), counted, flat[:, 0])
