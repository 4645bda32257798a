"""Whether runs bear out a claim: a number that is above 0 where the claim is true, with an interval (configs/sweeps/claims.py).

A claim is a difference of two losses, EMID at two places or of two sets of runs, or the gain of the golden replies'
log-likelihoods by reasoning. Intervals of all claims of one quantity hold together (`information.simultaneous`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from remid_jax.information.differences import EMID, NOVEL_EMID, OVERALL, Headline, Place, Quantities
from remid_jax.information.intervals import Estimate, Replicates, average, difference, number
from remid_jax.information.measurement import Plan
from remid_jax.information.score_table import ScoreTable
from remid_jax.information.simultaneous import band

HOLDS, CONTRADICTED, OPEN = "holds", "contradicted", "not resolved"


class Side(NamedTuple):
    """The mean loss of some runs under one shift, or over all shifted categories where `shift` is None."""

    runs: Sequence[str]
    shift: str | None = None


class Contrast(NamedTuple):
    """The claim that `more` loses more than `less`."""

    more: Side
    less: Side


class Answered(TypedDict):
    """A claim's number, above 0 where it is true, with the interval that holds together with the others', and the answer."""

    number: Estimate
    answer: str


def contrasts(
    runs: Mapping[str, Quantities], claims: Mapping[str, Contrast], headline: Headline, n: int, level: float
) -> dict[str, dict[str, Answered]]:
    """Returns {quantity: {claim: what was found}} for EMID and, where it is known, NOVEL_EMID.

    Numbers are in the headline's unit, formula and conditioning; a claim whose shift no run has is left out. `n` is that of the
    numbers' estimates.
    """
    found = {}
    for quantity in (EMID, NOVEL_EMID):
        losses = {claim: [_loss(runs, side, quantity, headline) for side in sides] for claim, sides in claims.items()}
        known = {
            claim: difference(more, less) for claim, (more, less) in losses.items() if more is not None and less is not None
        }
        if known:
            found[quantity] = answered(known, unit=headline.unit, estimator=headline.estimator, n=n, level=level)
    return found


def _loss(runs: Mapping[str, Quantities], side: Side, quantity: str, headline: Headline) -> Replicates | None:
    kind, name = ("overall", OVERALL) if side.shift is None else ("shift", side.shift)
    place = Place(kind, name, quantity, *headline)
    if any(place not in runs[run] for run in side.runs):
        return None
    return average([runs[run][place] for run in side.runs])


def reasoning_gain(table: ScoreTable, plan: Plan) -> Replicates | None:
    """Returns by how much reasoning raises golden log-likelihoods, nats a token, mean over categories; None if not known."""
    gains = []
    for name, category in table.categories.items():
        golden, unreasoned = category.golden, category.golden_unreasoned
        if golden is None or unreasoned is None or "reasoned" not in golden.loglik:
            return None
        rates = (np.diagonal(golden.loglik["reasoned"]) - unreasoned) / golden.tokens
        gains.append(plan.of_items(name, category.lineage, rates))
    return average(gains)


def answered(values: Mapping[str, Replicates], *, unit: str, estimator: str, n: int, level: float) -> dict[str, Answered]:
    """Returns {claim: its number and answer}; "holds" and "contradicted" need an interval that excludes 0."""
    held = band(list(values.values()), level)
    found: dict[str, Answered] = {}
    for (claim, quantity), low, high in zip(values.items(), held.low.tolist(), held.high.tolist(), strict=True):
        made = number(quantity, unit=unit, estimator=estimator, n=n, level=level)
        if made["interval"] is not None and np.isfinite(low):
            made["interval"] = {**made["interval"], "low": low, "high": high}
        found[claim] = {"number": made, "answer": HOLDS if low > 0 else CONTRADICTED if high < 0 else OPEN}
    return found
