"""Softmax taken as it comes: block after block of keys, for every way to run attention over long rows.

A block of queries keeps the greatest logit so far, the sum of exponentials below it, and the mix of values that goes with them
(arXiv 2205.14135, 2307.08691). The backward pass computes the weights again from the log-sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LEAST = float(jnp.finfo(jnp.float32).min)  # the logit of a key that is not seen
START = LEAST / 2  # the greatest logit before any: exp(LEAST - START) is 0, so that what is not seen needs no second mask


class Manner(NamedTuple):
    """How logits are made, and how many slots a block has."""

    scale: float
    softcap: float | None
    block: int


class State(NamedTuple):
    """What a block of queries knows of the keys so far."""

    greatest: Float[Array, "*shape 1"]
    total: Float[Array, "*shape 1"]
    mix: Float[Array, "*shape H"]


def nothing(shape: tuple[int, ...]) -> State:
    """The state before any key, for queries that mix to `shape`."""
    column = (*shape[:-1], 1)
    return State(jnp.full(column, START), jnp.zeros(column), jnp.zeros(shape, jnp.float32))


def absorb(
    state: State,
    logits: Float[Array, "*shape S"],
    seen: Bool[Array, "*shape S"],
    mixed: Callable[[Array], Array],
) -> State:
    """The state with more keys; `mixed` gives the values [*shape, H] that weights [*shape, S] mix to."""
    logits = jnp.where(seen, logits, LEAST)
    greatest = jnp.maximum(state.greatest, logits.max(axis=-1, keepdims=True))
    weights, shrink = jnp.exp(logits - greatest), jnp.exp(state.greatest - greatest)
    mix = state.mix * shrink + mixed(weights)
    return State(greatest, state.total * shrink + weights.sum(axis=-1, keepdims=True), mix)


def finish(state: State) -> tuple[Float[Array, "*shape H"], Float[Array, "*shape 1"]]:
    """What the queries take, and the log-sums of their logits; zeros and `START` where they see nobody."""
    total = jnp.where(state.total > 0, state.total, 1.0)
    return state.mix / total, state.greatest + jnp.log(total)


def slopes(
    manner: Manner, logits: Array, seen: Array, log_sums: Array, to_weights: Array, common: Array
) -> tuple[Array, Array]:
    """(weights, gradients of the products of queries and keys), of the shape of `logits`.

    `to_weights` are the gradients of the weights, and `common` is their mean under the weights of a query.
    """
    weights = jnp.where(seen, jnp.exp(logits - log_sums), 0.0)
    found = weights * (to_weights - common) * manner.scale
    if manner.softcap is not None:
        found = found * (1 - (logits / manner.softcap) ** 2)
    return weights, found
