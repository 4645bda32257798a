"""How far numbers of replies put them in the order that scores by people or a judge do.

Every measure is made of pairs of replies, so ties count in all of them alike:

    spearman   the correlation of ranks, ties at the mean of theirs
    kendall    tau-b
    pairs      of the pairs of replies to one context with unlike scores, the share whose numbers are in the same order; ties of
               numbers count half, chance is 1/2
    systems    spearman of the mean numbers and mean scores of systems
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from remid_jax.information.identification import TIED_WITHIN

MEASURES = ("spearman", "kendall", "pairs", "systems")
FEWEST_SYSTEMS = 3  # whose order is worth a correlation
AT_ONCE = 1 << 22  # numbers of an array [n, columns]


def rank_agreement(
    numbers: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    context: Int[np.ndarray, " n"],
    system: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "R n"],
) -> dict[str, Float[np.ndarray, " R"]]:
    """Returns every measure of `MEASURES` under every row of weights; NaN where it does not exist.

    Args:
      numbers: of the replies; within 1e-9 they are tied, and so are scores.
      scores: of the replies.
      context: what the reply answers.
      system: who gave it, counted from 0.
      weights: how often each reply counts, a row a replicate; copies of a reply are no pair.
    """
    count, replies = weights.shape
    ranks = np.empty((2, count, replies))
    sums = {name: np.zeros(count) for name in ("alike", "of numbers", "of scores", "alike within", "within")}
    counted = weights.astype(np.float32)  # multiplicities and signs: their sums are whole numbers, exact below 2**24
    step = max(1, AT_ONCE // replies)
    for first in range(0, replies, step):
        columns = slice(first, first + step)
        signs = [_signs(of, of[columns]).astype(np.float32) for of in (numbers, scores)]
        same = context[:, None] == context[columns]
        alike, unlike = signs[0] * signs[1], np.abs(signs[1])
        for rank, of in zip(ranks, signs, strict=True):
            rank[:, columns] = counted @ of
        for name, pairs in (
            ("alike", alike), ("of numbers", np.abs(signs[0])), ("of scores", unlike), ("alike within", alike * same),
            ("within", unlike * same),
        ):  # fmt: skip
            sums[name] += ((counted @ pairs) * weights[:, columns]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "spearman": _correlation(ranks[0], ranks[1], weights),
            "kendall": sums["alike"] / np.sqrt(sums["of numbers"] * sums["of scores"]),
            "pairs": (1 + sums["alike within"] / sums["within"]) / 2,
            "systems": _of_systems(numbers, scores, system, weights),
        }


def _signs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whether each of `after` (the last axis) is above, 1, below, -1, or tied with each of `before`; 0 for no number."""
    gap = np.nan_to_num(after[..., None, :] - before[..., :, None])
    return np.where(np.abs(gap) <= TIED_WITHIN, 0.0, np.sign(gap))


def _correlation(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of ranks [R, n] that are sums of signs, whose weighted mean is therefore 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
        return (weights * first * second).sum(axis=1) / np.sqrt(spread)


def _of_systems(numbers: np.ndarray, scores: np.ndarray, system: np.ndarray, weights: np.ndarray) -> np.ndarray:
    member = (system[:, None] == np.arange(system.max() + 1)).astype(float)
    counts = weights @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [(weights * of) @ member / counts for of in (numbers, scores)]
    there = (counts > 0).astype(float)
    ranks = [(_signs(of, of) * there[:, :, None]).sum(axis=1) for of in means]
    enough = there.sum(axis=1) >= FEWEST_SYSTEMS
    return np.where(enough, _correlation(ranks[0], ranks[1], there), np.nan)
