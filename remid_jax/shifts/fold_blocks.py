"""Blocks of contexts that the same members of an estimator may score (docs/protocol.md, rules 19 and 22)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from remid_jax.information.intervals import Replicates, combine

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


@dataclasses.dataclass(frozen=True)
class FoldBlock:
    """Contexts of one fold that are compared with one another: `reference` and `category` are indices of their records."""

    fold: int
    share: float  # of the contexts of all blocks
    reference: np.ndarray
    category: np.ndarray


def average_of_blocks(of_blocks: Sequence[Mapping[str, Replicates]], shares: Sequence[float]) -> dict[str, Replicates]:
    """Returns the mean over blocks of every quantity, each block by its share; a quantity stands in all blocks or in none."""

    def pooled(*values: np.ndarray) -> np.ndarray:
        return sum((share * of_block for share, of_block in zip(shares, values, strict=True)), np.zeros(1))

    return {name: combine(pooled, *(quantities[name] for quantities in of_blocks)) for name in of_blocks[0]}
