"""1/2 for core features inside a fenced block, 1/2 for all section headings; or 1 for a header (docs/metric.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.dialogues.parsing import core_features
from remid_jax.learning.rewards import Resources, Reward


def make(resources: Resources, headings: Sequence[str] = (), header: str = "") -> Reward:
    """`headings` are those that the reasoning must have; with none, the block is all there is to reward. With `header`, that
    text somewhere in the completion is."""

    def of(text: str) -> float:
        if header:
            return float(header in text)
        block = not core_features(text).fallback
        return (block + all(heading in text for heading in headings)) / 2 if headings else float(block)

    return lambda groups: np.array([[of(text) for text in group.texts] for group in groups])
