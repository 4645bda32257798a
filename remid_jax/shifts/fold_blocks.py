"""Blocks of contexts that the same members of an estimator may score (docs/protocol.md, rules 19 and 22)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

FEWEST_CONTEXTS = 4  # of a block: two on either side of a bound


def fold_blocks(contexts: np.ndarray, replies: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields (fold, contexts in it, replies in it), both as ascending indices, of every fold that holds some of each.

    Args:
      contexts: the fold of each context, [rows].
      replies: the fold of each reply, [columns].
    """
    for fold in np.intersect1d(contexts, replies).tolist():
        yield fold, np.flatnonzero(contexts == fold), np.flatnonzero(replies == fold)


def unbounded(reference: str, of_reference: np.ndarray, of_category: np.ndarray) -> str | None:
    """Returns why a fold makes no block of a bound, from the fold of each context of both categories; None when all do."""
    for fold in np.union1d(of_reference, of_category).tolist():
        theirs, ours = int((of_reference == fold).sum()), int((of_category == fold).sum())
        if min(theirs, ours) < FEWEST_CONTEXTS // 2:
            return (
                f"fold {fold} of the cross-fitted estimator holds {theirs} contexts of {reference} and {ours} of the category: "
                f"a block needs {FEWEST_CONTEXTS // 2} of each"
            )
    return None
