"""The critic of `mixture`: log-likelihoods calibrated on the other fold (docs/protocol.md, rule 7).

Summed log-likelihoods of a real model are off by nats, and some contexts raise every reply. InfoNCE holds for any critic, so

    f[j, i] = a (L[j, i] - c_j),     a > 0 one scale per estimator, c_j an offset per context.

Lineages fall into two folds, and the critic that scores a reply is fitted on replies of the other fold only: `c_j` is the mean
over those replies k != j of (L[j,k] - mean over contexts of L[., k]), and `a` maximises the mixture of the other fold's golden
replies, over all categories together. All contexts are candidates. That is still InfoNCE as long as the critic cannot tell from
which fold a context comes, so a context's own reply never enters its offset: otherwise every context of the other fold would
carry a mark of not being the golden one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

FEWEST_REPLIES = 3  # per fold: an offset needs one reply that is neither the context's own nor the one being scored
SCALES = (1e-4, 1e1)
FLAT = 1e-3  # the scale stops where the slope has fallen to this share of the slope at 0, see `scale`


def folds(lineages: Mapping[str, Iterable[str]], purpose: str = "") -> dict[str, int]:
    """The fold, 0 or 1, of every lineage in {category: lineage of each record}; a lineage has one fold in all categories.

    Lineages are taken in the order of the SHA-256 of `purpose` and their name, each to the fold that evens out the records of
    its categories. Another purpose gives other folds.
    """
    records: dict[str, Counter[str]] = {}
    for category, names in lineages.items():
        for name in names:
            records.setdefault(name, Counter())[category] += 1
    surplus: Counter[str] = Counter()  # records of fold 0 minus records of fold 1, by category
    result = {}
    for name in sorted(records, key=lambda lineage: hashlib.sha256((purpose + lineage).encode()).digest()):
        result[name] = int(sum(count * surplus[category] for category, count in records[name].items()) > 0)
        for category, count in records[name].items():
            surplus[category] += -count if result[name] else count
    return result


def _offset_sums(loglik: Float[Array, "n n"], fitting: Float[Array, " n"]) -> tuple[Array, Array]:
    """What each reply k adds to each context's offset, L[j,k] - mean_j L[j,k], and whether it may: k in `fitting`, k != j."""
    uses = fitting * (1 - jnp.eye(loglik.shape[0], dtype=loglik.dtype))
    return uses * (loglik - loglik.mean(axis=0)), uses


@jax.jit
def offsets(loglik: Float[Array, "n n"], fitting: Float[Array, " n"]) -> Float[Array, " n"]:
    """c_j: mean over replies k != j with fitting[k] = 1 of (L[j,k] - mean over contexts of L[., k]), nats."""
    added, uses = _offset_sums(loglik, fitting)
    return added.sum(axis=1) / uses.sum(axis=1)


@jax.jit
def critic(loglik: Float[Array, "n n"], fold: Int[Array, " n"], scales: Float[Array, "2"]) -> Float[Array, "n n"]:
    """f[j, i] = a (L[j, i] - c_j), for replies of fold 0 with a = scales[0] and c from fold 1, and the reverse.

    `mixture` of it does not change when a constant is added to all replies of a context, or to all contexts of a reply.
    """
    by_fold = jnp.stack([offsets(loglik, (fold != f).astype(loglik.dtype)) for f in (0, 1)], axis=1)
    return scales[fold] * (loglik - by_fold[:, fold])


@jax.jit
def scale(loglik: Float[Array, "C n n"], fitting: Float[Array, "C n"]) -> Float[Array, ""]:
    """The scale a that maximises J(a) = mean over categories of the mixture of the replies in `fitting`.

    `loglik` holds golden replies, one matrix per category; each category needs `FEWEST_REPLIES` in `fitting`, and while a reply
    is scored here it is left out of all offsets, as it will be in use. J is concave in a. The value returned is where J' has
    fallen to J'(0)/1000: indistinguishable from the maximum where there is one, and finite where the golden context wins
    everywhere and J rises for ever. Bisection on log a within 1e-4 .. 10, to six digits; 1e-4 where no scale helps.
    """

    def centred(loglik: Array, fitting: Array) -> Array:
        added, uses = _offset_sums(loglik, fitting)
        return loglik - (added.sum(axis=1, keepdims=True) - added) / (uses.sum(axis=1, keepdims=True) - uses)

    scores = jax.vmap(centred)(loglik, fitting)

    def slope(a: Array | float) -> Array:
        def of_category(matrix: tuple[Array, Array]) -> Array:
            scores, fitting = matrix
            gains = jnp.exp(a * (scores - scores.max(axis=0)))
            expected = (gains * scores).sum(axis=0) / gains.sum(axis=0)
            return (jnp.diagonal(scores) - expected) @ fitting / fitting.sum()

        return jax.lax.map(of_category, (scores, fitting)).sum()  # one matrix at a time stays in the processor's cache

    target = FLAT * slope(0.0)

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        rising = slope(jnp.exp(middle)) > target
        return jnp.where(rising, middle, low), jnp.where(rising, high, middle)

    low, high = (jnp.asarray(math.log(a), loglik.dtype) for a in SCALES)
    low, high = jax.lax.fori_loop(0, 24, halve, (low, high))
    return jnp.where(target > 0, jnp.exp((low + high) / 2), SCALES[0])


@jax.jit
def offset_changes(
    loglik: Float[Array, "n n"], fitting: Float[Array, " n"], weights: Float[Array, "R n"]
) -> Float[Array, "R n"]:
    """By how much each context's offset changes when items count `weights` times; 0 where no reply is left to fit it on."""
    used = weights * fitting
    means = weights @ loglik / weights.sum(axis=1, keepdims=True)  # of each reply over contexts
    own = used * (jnp.diagonal(loglik) - means)
    total = used @ loglik.T - (used * means).sum(axis=1, keepdims=True) - own
    count = used.sum(axis=1, keepdims=True) - used
    before = offsets(loglik, fitting)
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1) - before, 0.0)


@jax.jit
def scale_slopes(
    loglik: Float[Array, "n n"], fitting: Float[Array, " n"], scale: Float[Array, ""], weights: Float[Array, "R n"]
) -> tuple[Float[Array, " R"], Float[Array, ""]]:
    """What one category adds to the equation that `scale` solves, J'(a) - J'(0)/1000 = 0, when items count `weights` times,
    and to -J''(a): the scale's own replicates follow by one Newton step."""
    added, uses = _offset_sums(loglik, fitting)
    scores = loglik - (added.sum(axis=1, keepdims=True) - added) / (uses.sum(axis=1, keepdims=True) - uses)
    used = weights * fitting

    def slope(a: Array | float) -> tuple[Array, Array]:
        gains = jnp.exp(a * (scores - scores.max(axis=0)))
        expected = (weights @ (gains * scores)) / (weights @ gains)
        first, second = (gains * scores).sum(axis=0) / gains.sum(axis=0), (gains * scores**2).sum(axis=0) / gains.sum(axis=0)
        mean = (used * (jnp.diagonal(scores) - expected)).sum(axis=1) / used.sum(axis=1)
        return mean, fitting @ (second - first**2) / fitting.sum()

    (at_scale, curvature), (at_zero, _) = slope(scale), slope(0.0)
    return at_scale - FLAT * at_zero, curvature


@jax.jit
def mixture_slopes(critic: Float[Array, "n n"], scale: Float[Array, " n"]) -> Float[Array, " n"]:
    """d/da of each reply's mixture term: (f[i,i] - mean of f[., i] under its softmax) / a, a the scale of that reply."""
    shares = jax.nn.softmax(critic, axis=0)
    return (jnp.diagonal(critic) - (shares * critic).sum(axis=0)) / scale


@jax.jit
def retrieved(critic: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Whether the golden context of each reply is the argmax of its column: 1, 0, or 1/k in a tie of k contexts."""
    ties = critic >= critic.max(axis=0) - 1e-9
    return jnp.diagonal(ties) / ties.sum(axis=0)
