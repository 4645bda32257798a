"""min(1, words in the core features / enough) (docs/metric.md, section 5 (Training the estimator))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.dialogues.parsing import core_features
from remid_jax.learning.rewards import Resources, Reward
from remid_jax.learning.rollouts import Group


def make(resources: Resources, enough: int = 600) -> Reward:
    def reward(groups: Sequence[Group]) -> np.ndarray:
        words = [[len(core_features(text).text.split()) for text in group.texts] for group in groups]
        return np.minimum(1.0, np.array(words) / enough)

    return reward
