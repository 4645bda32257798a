"""Coverage of the band of a curve over `mixture(category, share)`, on the worlds of `coverage_study`, where the truth is known.

A lineage is a context of IDTest and one of the shifted category, as often the same as their laws allow; each has a golden reply
and one of the policy. At a share s the lineages that come first in an order of their own have the category's context and
replies, as the dial picks records. The truth is the exact R-EMID by `club` of contexts drawn by (1 - s) P + s Q.

The dial takes exactly a share s of n lineages, so two contexts of a table are both shifted a little less often than two drawn
by themselves: by s (1 - s) / (n - 1). `bias` says what that does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from remid_jax.information.intervals import Replicates, interval
from remid_jax.information.simultaneous import band
from remid_jax.validation.coverage_study import Channel

SHARES = (0.25, 0.5, 0.75, 1.0)
SIZES = (16, 32)
DRAWS = 20_000  # of a band: coverage is not known as finely as the critical value by default
AT_ONCE = 50


class Lineages(NamedTuple):
    """Contexts [tables, n, 2] of each lineage in IDTest and in the category, and golden and policy replies [tables, n, 2]."""

    contexts: np.ndarray
    golden: np.ndarray
    policy: np.ndarray


def draw_lineages(channel: Channel, n: int, tables: int, rng: np.random.Generator) -> Lineages:
    """Draws lineages of both categories."""
    common, every = np.minimum(*channel.laws), len(channel.golden)
    same = rng.random((tables, n)) < common.sum()
    shared = rng.choice(every, (tables, n), p=common / common.sum())
    sides = []
    for law in channel.laws:
        rest = law - common
        sides.append(np.where(same, shared, rng.choice(every, (tables, n), p=rest / rest.sum())))
    contexts = np.stack(sides, axis=-1)

    def replies(kernel: np.ndarray) -> np.ndarray:
        chance = rng.random((*contexts.shape, 1))
        return (chance > kernel.cumsum(1)[contexts]).sum(-1).clip(max=kernel.shape[1] - 1)

    return Lineages(contexts, replies(channel.golden), replies(channel.policy))


def curve(channel: Channel, lineages: Lineages) -> Float[np.ndarray, "tables shares 1+n"]:
    """Returns R-EMID at each of `SHARES` by `club`, nats a reply, and without each lineage."""
    n = lineages.contexts.shape[1]
    of_id = _emi(channel, lineages, np.zeros(n, np.int64))
    shifted = [(np.arange(n) < int(share * n + 0.5)).astype(np.int64) for share in SHARES]
    return np.stack([of_id - _emi(channel, lineages, side) for side in shifted], axis=1)


def _emi(channel: Channel, lineages: Lineages, side: np.ndarray) -> np.ndarray:
    """EMI [tables, 1 + n] where lineage i has the records of side[i]."""
    places = np.arange(len(side))
    x = lineages.contexts[:, places, side]
    logs = np.log(channel.critic)
    policy, golden = (
        replicated_club(logs[x[:, :, None], replies[:, places, side][:, None, :]])
        for replies in (lineages.policy, lineages.golden)
    )
    return policy - golden


def replicated_club(scores: Float[np.ndarray, "tables n n"]) -> Float[np.ndarray, "tables 1+n"]:
    """Returns `club` over all mismatched pairs of each matrix, and without each item, in closed form."""
    n = scores.shape[-1]
    own = np.diagonal(scores, axis1=1, axis2=2)
    trace, total = own.sum(1, keepdims=True), scores.sum((1, 2))[:, None]
    left = total - scores.sum(1) - scores.sum(2) + own
    whole = trace / n - (total - trace) / (n * (n - 1))
    deleted = (trace - own) / (n - 1) - (left - (trace - own)) / ((n - 1) * (n - 2))
    return np.concatenate([whole, deleted], axis=1)


def population(channel: Channel) -> Float[np.ndarray, " shares"]:
    """Returns the exact R-EMID at each of `SHARES`, nats a reply."""
    p, q = channel.laws

    def emi(law: np.ndarray) -> float:
        return channel.population_club(channel.policy, law) - channel.population_club(channel.golden, law)

    return np.array([emi(p) - emi((1 - share) * p + share * q) for share in SHARES])


def coverage(
    channel: Channel, n: int, replications: int, seed: int, report: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, object]:
    """Returns how often nominal 95% bands and intervals hold the exact curve, n lineages a table.

    {"band": share of tables whose band holds the truth at all `SHARES`, "pointwise_all": the same of the intervals of single
     settings, "pointwise": [of each setting alone], "truth": [nats], "bias": [mean minus truth, nats],
     "error": [standard deviation over tables, nats]}.
    """
    rng, truth = np.random.default_rng([seed, n]), population(channel)
    values, held, single = [], [], []
    for first in range(0, replications, AT_ONCE):
        tables = min(AT_ONCE, replications - first)
        for of_table in curve(channel, draw_lineages(channel, n, tables, rng)):
            points = [Replicates(row, np.ones(n, bool), n) for row in of_table]
            whole = band(points, 0.95, DRAWS)
            held.append(bool(np.all((whole.low <= truth) & (truth <= whole.high))))
            ends = [interval(point, "club", 0.95) for point in points]
            single.append([
                (end["low"] or 0.0) <= target <= (end["high"] or 0.0) for end, target in zip(ends, truth, strict=True)
            ])  # fmt: skip
            values.append(of_table[:, 0])
        report(first + tables, replications)
    of_tables, pointwise = np.array(values), np.array(single)
    return {
        "band": float(np.mean(held)),
        "pointwise_all": float(pointwise.all(1).mean()),
        "pointwise": pointwise.mean(0).tolist(),
        "truth": truth.tolist(),
        "bias": (of_tables.mean(0) - truth).tolist(),
        "error": of_tables.std(0, ddof=1).tolist(),
    }
