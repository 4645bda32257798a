"""The head, tile by tile: what is asked of logits [B, M, V], of which only those of a few positions and words are ever alive.

On CPU a tile of words is taken once for all positions, so that its weights and its logits stay in the cache. Accelerators pay
for every turn of a loop and take all words at once. Sums of exponentials are taken as they come, as
`remid_jax.models.attention.softmax` does. Gradients compute the logits again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from remid_jax.models.attention.softmax import LEAST, START
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import logits_of
from remid_jax.models.matrices import as_bits, of_bits, on_cpu
from remid_jax.models.sampling import largest

Asked = Literal["logprobs", "entropies", "best"]
WORDS = 4096  # of a tile on CPU: within 5% of the best of 1,024 to 16,384, in either dtype
POSITIONS = 128  # of a row in a tile, at most: what is scored is rounded up to whole tiles
ELEMENTS = 2**25  # logits of a tile on one device, at most (128 MiB in float32)

S = TypeVar("S")


class Tiles(NamedTuple):
    """How logits are parted: so many positions of each row by so many words."""

    positions: int
    words: int


class Taken(NamedTuple):
    """What is known of the logits of each position so far. `extra`: the sum of logits by their exponentials, the likeliest
    word's id, or nothing."""

    greatest: Float[Array, "*shape"]
    total: Float[Array, "*shape"]
    chosen: Float[Array, "*shape"]
    extra: Array


class _Words(NamedTuple):
    """A tile of words: the id of its first, how many of them an earlier tile has had, and their weights."""

    first: Array
    stale: Array
    weights: Float[Array, "W D"]


def tiles_of(rows: int, vocab_size: int) -> Tiles:
    """How the logits of so many rows are parted on the mesh in sight; devices that share the words take all of them at once."""
    axes = jax.sharding.get_abstract_mesh().shape
    count = 1 if not on_cpu() or axes.get("model", 1) > 1 else -(-vocab_size // WORDS)
    words = min(vocab_size, -(-vocab_size // count // 64) * 64)
    most = ELEMENTS * axes.get("model", 1) // (-(-rows // axes.get("data", 1)) * words)
    return Tiles(min(POSITIONS, max(8, 1 << max(most, 1).bit_length() - 1)), words)


def ask(
    config: DecoderConfig,
    asked: Asked,
    hidden: Float[Array, "B M D"],
    weights: Float[Array, "V D"],
    targets: Int[Array, "B M"],
    scored: Int[Array, " B"],
) -> tuple[Array, ...]:
    """Log-probabilities [B, M] of `targets` at hidden states, nats, and what else is asked.

    log q(y) = logit[y] - logsumexp(logits). "entropies": also those of the distributions, nats. "best": also the
    log-probability and the id of the likeliest word. All are 0 in tiles of positions beyond the last that any row has `scored`.
    "logprobs" and "best" have no gradients.
    """
    tiles, length = tiles_of(len(hidden), len(weights)), hidden.shape[1]
    fill = -length % tiles.positions
    hidden, targets = jnp.pad(hidden, ((0, 0), (0, fill), (0, 0))), jnp.pad(targets, ((0, 0), (0, fill)))
    given = (hidden, weights, targets, (jnp.max(scored) + tiles.positions - 1) // tiles.positions)
    found = _with_entropies(config, tiles, *given) if asked == "entropies" else _forward(config, tiles, asked, *given)[0]
    return tuple(a[:, :length] for a in found)


def _forward(
    config: DecoderConfig, tiles: Tiles, asked: Asked, hidden: Array, weights: Array, targets: Array, count: Array
) -> tuple[tuple[Array, ...], Array]:
    """What is asked, of `count` tiles of positions, and the logarithms of the sums of exponentials."""
    shape = targets.shape
    nothing = jnp.zeros(shape, jnp.int32 if asked == "best" else jnp.float32)

    def add(words: _Words, first: Array, state: Taken) -> Taken:
        cut = functools.partial(_cut, tiles, first)
        more = _take(asked, jax.tree.map(cut, state), _logits(config, cut(hidden), words, tiles), words, cut(targets))
        return jax.tree.map(lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, first, 1), state, more)

    start = Taken(jnp.full(shape, START), jnp.zeros(shape), jnp.zeros(shape), nothing)
    greatest, total, chosen, extra = _over_tiles(tiles, weights, count, add, start)
    total = jnp.where(total > 0, total, 1.0)
    log_z = greatest + jnp.log(total)
    found = {"logprobs": (), "entropies": (log_z - extra / total,), "best": (greatest - log_z, extra)}
    live = jnp.arange(shape[1]) < count * tiles.positions
    return tuple(jnp.where(live, a, 0) for a in (chosen - log_z, *found[asked])), log_z


def _take(asked: Asked, state: Taken, logits: Array, words: _Words, targets: Array) -> Taken:
    """The state with the logits [B, P, W] of a tile."""
    most = logits.max(axis=-1)
    greatest = jnp.maximum(state.greatest, most)
    shares, shrink = jnp.exp(logits - greatest[..., None]), jnp.exp(state.greatest - greatest)
    extra = state.extra
    if asked == "entropies":
        extra = state.extra * shrink + (shares * logits).sum(axis=-1)
    elif asked == "best":
        extra = jnp.where(most > state.greatest, words.first + jax.vmap(largest)(logits), state.extra)
    inside, places = _places(words, targets)
    chosen = jnp.where(inside, jnp.take_along_axis(logits, places[..., None], axis=-1)[..., 0], state.chosen)
    return Taken(greatest, state.total * shrink + shares.sum(axis=-1), chosen, extra)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _with_entropies(
    config: DecoderConfig, tiles: Tiles, hidden: Array, weights: Array, targets: Array, count: Array
) -> tuple[Array, ...]:
    return _forward(config, tiles, "entropies", hidden, weights, targets, count)[0]


def _keep(config: DecoderConfig, tiles: Tiles, *given: Any) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
    values = [primal.value for primal in given]
    found, log_z = _forward(config, tiles, "entropies", *values)
    return found, (*values, found[1], log_z, () if given[1].perturbed else None)


def _back(
    config: DecoderConfig, tiles: Tiles, kept: tuple[Any, ...], change: tuple[Any, Any]
) -> tuple[Array, Array | None, None, None]:
    """d log q(y) / d logit[v] = [v = y] - p[v] and d H / d logit[v] = -p[v] (log p[v] + H), tile by tile.

    Frozen words have no gradient: left to itself XLA would make it and throw it away.
    """
    hidden, weights, targets, count, entropies, log_z, learns = kept
    changes = [jnp.zeros(a.shape) if isinstance(a, SymbolicZero) else a for a in change]

    def add(words: _Words, first: Array, state: tuple[Array, Array | None]) -> tuple[Array, Array | None]:
        cut = functools.partial(_cut, tiles, first)
        logits, pull = jax.vjp(lambda h, w: _logits(config, h, words._replace(weights=w), tiles), cut(hidden), words.weights)
        of_logprob, of_entropy, entropy, norm = (cut(a)[..., None] for a in (*changes, entropies, log_z))
        inside, places = _places(words, cut(targets))
        log_p = logits - norm
        slopes = -jnp.exp(log_p) * (of_logprob + of_entropy * (log_p + entropy))
        here = (jnp.arange(tiles.words) == places[..., None]) & inside[..., None]
        to_hidden, to_weights = pull(jnp.where(here, slopes + of_logprob, slopes))
        of_hidden, of_weights = state
        of_hidden = jax.lax.dynamic_update_slice_in_dim(of_hidden, cut(of_hidden) + to_hidden, first, 1)
        return of_hidden, None if of_weights is None else _add_rows(of_weights, to_weights, words.first)

    start = (jnp.zeros(hidden.shape, jnp.float32), None if learns is None else jnp.zeros(weights.shape, jnp.float32))
    of_hidden, of_weights = _over_tiles(tiles, weights, count, add, start)
    return of_hidden.astype(hidden.dtype), None if of_weights is None else of_weights.astype(weights.dtype), None, None


_with_entropies.defvjp(_keep, _back, symbolic_zeros=True)


def _over_tiles(tiles: Tiles, weights: Array, count: Array, add: Callable[[_Words, Array, S], S], state: S) -> S:
    """The state with all tiles: `add` takes words, the first of a tile's positions, and the state."""

    def with_words(state: S, words: _Words) -> S:
        return jax.lax.fori_loop(0, count, lambda n, s: add(words, n * tiles.positions, s), state)

    if tiles.words == len(weights):
        return with_words(state, _Words(jnp.int32(0), jnp.int32(0), weights))
    bits = as_bits(weights)

    def step(state: S, number: Array) -> tuple[S, None]:
        wanted = number * tiles.words
        first = jnp.minimum(wanted, len(weights) - tiles.words)
        own = of_bits(jax.lax.dynamic_slice_in_dim(bits, first, tiles.words), weights.dtype)
        return with_words(state, _Words(first, wanted - first, own)), None

    return jax.lax.scan(step, state, jnp.arange(-(-len(weights) // tiles.words)))[0]


def _logits(config: DecoderConfig, hidden: Array, words: _Words, tiles: Tiles) -> Array:
    """Logits [B, P, W], the least there are for words that an earlier tile has had."""
    logits = logits_of(config, hidden, words.weights)
    if config.vocab_size % tiles.words == 0:
        return logits
    return jnp.where(jnp.arange(tiles.words) >= words.stale, logits, LEAST)


def _places(words: _Words, targets: Array) -> tuple[Array, Array]:
    """Whether targets are words of the tile, and which."""
    places = targets - words.first
    inside = (places >= words.stale) & (places < len(words.weights))
    return inside, jnp.clip(places, 0, len(words.weights) - 1)


def _cut(tiles: Tiles, first: Array, a: Array) -> Array:
    return jax.lax.dynamic_slice_in_dim(a, first, tiles.positions, 1)


def _add_rows(sums: Array, more: Array, first: Array) -> Array:
    own = jax.lax.dynamic_slice_in_dim(sums, first, len(more)) + more
    return jax.lax.dynamic_update_slice_in_dim(sums, own, first, 0)
