"""Sets of replies made of other sets, from their scores alone: some records, or what two policies say to different records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from remid_jax.information.score_table import BySource, Replies


def of_records(replies: Replies, places: Int[np.ndarray, " m"]) -> Replies:
    """Returns the replies of these records alone, in the contexts of these records, in this order."""
    return _each(replies, lambda of: of[places], lambda of: of[places][:, places])


def exchanged(replies: Replies, others: Replies, chosen: Bool[np.ndarray, " n"]) -> Replies:
    """Returns the replies of a policy that says `others` to the chosen records and `replies` to all others."""

    def along(axis: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def pick(of_these: np.ndarray, of_others: np.ndarray) -> np.ndarray:
            shape = [1] * of_these.ndim
            shape[axis] = len(chosen)
            return np.where(chosen.reshape(shape), of_others, of_these)

        return pick

    return _each(replies, along(0), along(1), others)


def _each(replies: Replies, of_replies: Callable, of_pairs: Callable, *more: Replies) -> Replies:
    """The arrays of sets of replies: those with an entry a reply, and those with one a context and a reply."""

    def made(function: Callable, *trees: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: function(*(tree[name] for tree in trees)) for name in trees[0]}

    sets = (replies, *more)
    parts = [of.by_source for of in sets if of.by_source is not None]
    by_source = None
    if len(parts) == len(sets):
        by_source = BySource(
            of_replies(*(of.tokens for of in parts)),
            made(of_pairs, *(of.loglik for of in parts)),
            made(of_replies, *(of.marginal for of in parts)),
        )
    return Replies(
        of_replies(*(of.tokens for of in sets)),
        of_replies(*(of.chars for of in sets)),
        made(of_pairs, *(of.loglik for of in sets)),
        made(of_replies, *(of.marginal for of in sets)),
        by_source,
    )
