"""What chance alone would show: the same statistic with the labels of P and Q dealt out again.

Items come in lineages. A lineage with as many items on either side is a matched pair: its sides are swapped or not, by a coin.
All other lineages keep together, and the labels of theirs are shuffled. Under "P = Q" both leave the law of the data alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RELABELLINGS = 200
ENOUGH = 32  # texts a side below which a divergence is marked `underpowered`


def relabellings(lineage: np.ndarray, in_p: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Membership in P, bool [count, N], of N items under the null; `in_p` [N] is how they really are."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(lineage, return_inverse=True)
    of_p = np.bincount(codes, in_p, len(names)).astype(int)
    of_q = np.bincount(codes, ~in_p, len(names)).astype(int)
    paired = of_p == of_q
    drawn = np.empty((count, len(in_p)), bool)
    single = np.flatnonzero(~paired)
    for row in drawn:
        swapped = paired & (rng.random(len(names)) < 0.5)
        row[:] = in_p ^ swapped[codes]
        # A lineage that is mostly in P lends its place to another: whole lineages trade labels.
        majority = np.where(of_p > of_q, 1, 0)
        dealt = majority.copy()
        dealt[single] = majority[rng.permutation(single)]
        row ^= (~paired & (dealt != majority))[codes]
    return drawn


def weights(in_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal weights of sum 1 on the items of P and of Q [..., N]."""
    return in_p / in_p.sum(-1, keepdims=True), ~in_p / (~in_p).sum(-1, keepdims=True)


def against_null(value: float, null: np.ndarray) -> dict[str, Any]:
    """{null, excess, p_value}: the null's mean, what the value has more, and the share of relabellings at least as large."""
    p_value = (1 + np.sum(null >= value - 1e-12)) / (1 + len(null))
    return {"null": float(null.mean()), "excess": float(value - null.mean()), "p_value": float(p_value)}
