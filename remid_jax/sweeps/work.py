"""How much device work points did, and how much of it an earlier run or another point had done: {what: how much}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCORED, SAMPLED = "tokens_scored", "tokens_sampled"
KINDS = {"scoring": ("rows", SCORED), "sampling": ("replies", SAMPLED)}


def of_evaluation(run: Mapping[str, Any]) -> dict[str, int]:
    """Returns the work of an evaluation, from its account of what the engines did (`Evaluation.run`).

    {"rows_computed", "rows_from_store", "tokens_scored", "replies_computed", "replies_from_store", "tokens_sampled"}: packed
    rows of log-probabilities or embeddings; replies and reasonings that were sampled; tokens that the device computed for them.
    """
    work: dict[str, int] = {}
    for kind, (name, tokens) in KINDS.items():
        counts = run[kind].values()
        work |= {
            f"{name}_computed": sum(count["store_misses"] for count in counts),
            f"{name}_from_store": sum(count["store_hits"] for count in counts),
            tokens: sum(count["tokens"] for count in counts),
        }
    return work


def sentence(work: Mapping[str, int]) -> str:
    """Returns in words how much was computed and how much was shared; "" if nothing was counted."""
    shares = [
        f"{work[f'{name}_computed']:,} {name} computed, {work[f'{name}_from_store']:,} from the store"
        for name, _ in KINDS.values()
        if work.get(f"{name}_computed") or work.get(f"{name}_from_store")
    ]
    return "; ".join(shares)
