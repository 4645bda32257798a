"""From estimates of mutual information to EMI, R-EMID and shift rows.

The quantities are those of docs/metric.md, sections 2 (Definitions) and 3 (Estimators); the choices are docs/protocol.md,
rules 6, 9 and 17.

`cross` EMI = Ihat(yhat) - Ihat(y*), both scored by the one estimator model; with reasoning it is R-EMI, without it EMI.
Larger R-EMID = worse degradation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from remid_jax.information.intervals import Replicates, average, combine, difference, interval
from remid_jax.information.score_table import Replies

CONTROLS = ("golden", "golden_other", "constant", "golden_half", "parrot", "reciter")
OF_GOLDEN = ("golden", "golden_other", "golden_half")
"""The controls whose replies are made of golden ones."""

Estimates = Mapping[tuple[str, str], Replicates]  # by (estimator, unit), such as ("club", "token_rate")


def cross(policy: Estimates, golden: Estimates) -> dict[tuple[str, str], Replicates]:
    """EMI = Ihat(yhat) - Ihat(y*), per estimator and unit; per token or character each side is divided by its own lengths."""
    return {key: difference(policy[key], golden[key]) for key in golden}


def drop(of_reference: Estimates, of_category: Estimates) -> dict[tuple[str, str], Replicates]:
    """What is lost from its reference to a category: R-EMID of two EMIs, `estimator_shift` of two Ihat(y*)."""
    return {key: difference(of_reference[key], of_category[key]) for key in of_reference}


def shift_row(categories: Sequence[Estimates]) -> dict[tuple[str, str], Replicates]:
    """The unweighted mean of a shift's categories; the reference they share stays shared."""
    return {key: average([estimates[key] for estimates in categories]) for key in categories[0]}


def relative(policy: Replicates, golden: Replicates, estimator: str, level: float) -> tuple[Replicates, str]:
    """Ihat(yhat) / Ihat(y*) - 1, and why it does not exist (else ""): only where the interval of Ihat(y*) excludes 0."""
    quotient = combine(lambda of_policy, of_golden: of_policy / of_golden - 1, policy, golden)
    bounds = interval(golden, estimator, level)
    if bounds["low"] is None or bounds["high"] is None:
        reason = f"no interval of the golden estimate: {bounds['reason']}"
    elif bounds["low"] <= 0 <= bounds["high"]:
        reason = "the interval of the golden estimate includes 0"
    else:
        return quotient, ""
    return quotient._replace(values=np.full_like(quotient.values, np.nan)), reason


def golden_of_another(golden: Replies, blocks: Sequence[np.ndarray]) -> Replies:
    """The control policy that answers each context with the golden reply of another: half a turn of each block's order."""
    return golden.answering(half_a_turn(blocks))


def half_a_turn(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Whose golden reply that control says to each record [n]."""
    order = np.empty(sum(map(len, blocks)), int)
    for block in blocks:
        order[block] = np.roll(block, len(block) // 2)
    return order
