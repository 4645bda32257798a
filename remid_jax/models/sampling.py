"""Sampling: prompts are encoded side by side, then take seats among rows that are decoded together in a compiled loop.

A row that has ended gives its seat to the next prompt. Every row draws from its own key and looks at its own slots, so what it
says depends on nobody beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt32

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.decoding import Cache, Layers, cache_dtype, decode_tokens, empty_cache


@dataclasses.dataclass(frozen=True)
class Sampler:
    """When a reply ends, and which tokens may be drawn; `top_k` 0 and `top_p` 1 keep every one.

    A row ends with the first id of `stop_ids`, or after `max_new` tokens. Temperature and repetition penalty are each draw's
    own (`Wishes`), so one batch may hold greedy and sampled replies to the same prompt.
    """

    max_new: int
    stop_ids: tuple[int, ...]
    top_k: int = 0
    top_p: float = 1.0


class Prompts(NamedTuple):
    """Rows that hold up to P prompts each, side by side: of every token its position in its prompt, the slot behind its prompt,
    and its prompt's number in the row (P: filler); of every prompt the slot of its last token."""

    tokens: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    ends: Int[Array, "B T"]
    owners: Int[Array, "B T"]
    lasts: Int[Array, "B P"]


class Encoded(NamedTuple):
    """Prompts ready to take seats: keys and values, with room for a whole row of slots behind them; of each prompt the logits
    behind its last token, and which tokens occur in it."""

    keys: Float[Array, "B L K H room"]
    values: Float[Array, "B L K room H"]
    logits: Float[Array, "B P V"]
    seen: Bool[Array, "B P V"]


class Wishes(NamedTuple):
    """How each row draws: its temperature (0: greedy), repetition penalty, the two words of its random key, and the most tokens
    it may have."""

    temperatures: Float[Array, " R"]
    penalties: Float[Array, " R"]
    keys: UInt32[Array, "R 2"]
    limits: Int[Array, " R"]


class Seats(NamedTuple):
    """Which row each of some draws takes (a number past the last: none), which of the encoded prompts it answers, at which slot
    that prompt begins and how many it fills, and how it draws."""

    rows: Int[Array, " B"]
    prompts: Int[Array, " B"]
    starts: Int[Array, " B"]
    lengths: Int[Array, " B"]
    wishes: Wishes


class Moves(NamedTuple):
    """Which rows take the place of which, counted over all devices, a few at a time (a target past the last: none)."""

    sources: Int[Array, "M D"]
    targets: Int[Array, "M D"]


class Patience(NamedTuple):
    """When a decode loop stops early: as soon as no more than `live` rows go on, and another step would bring the tokens it has
    computed for the others above `spare`. Both are sums over the devices."""

    live: Int[Array, " D"]
    spare: Int[Array, " D"]


class Rows(NamedTuple):
    """The state of a decode loop. `tokens`, `logprobs` [R, N] are filled up to `counts`; the last of them is not yet encoded.
    `slots` counts what is: the prompt, and all tokens but the last."""

    cache: Cache
    slots: Int[Array, " R"]
    seen: Bool[Array, "R V"]
    wishes: Wishes
    last: Int[Array, " R"]
    tokens: Int[Array, "R N"]
    logprobs: Float[Array, "R N"]
    counts: Int[Array, " R"]
    ended: Bool[Array, " R"]


def encode(config: DecoderConfig, slots: int, params: nnx.State, prompts: Prompts) -> Encoded:
    """Encodes prompts for rows of so many slots."""
    model = bind(config, params)
    rows, most = prompts.lasts.shape
    hidden, keys, values = model.with_keys(prompts.tokens, TokenTree(prompts.positions, prompts.ends))
    last = jnp.take_along_axis(hidden, prompts.lasts[:, :, None], axis=1)
    dtype = cache_dtype(keys.dtype)
    room = ((0, 0), (0, 0), (0, 0), (0, slots), (0, 0))
    here = jnp.arange(rows)[:, None]
    seen = jnp.zeros((rows, most, config.vocab_size), bool).at[here, prompts.owners, prompts.tokens].set(True, mode="drop")
    return Encoded(
        jnp.pad(keys.astype(dtype), room).transpose(1, 0, 2, 4, 3),
        jnp.pad(values.astype(dtype), room).swapaxes(0, 1),
        model.logits(last),
        seen,
    )


def empty_rows(config: DecoderConfig, rows: int, slots: int, room: int, dtype: Any) -> Rows:
    """Rows without anybody: all have ended."""
    blank, words = jnp.zeros((rows, room)), jnp.zeros((rows, 2), jnp.uint32)
    count, number = jnp.zeros(rows, jnp.int32), jnp.zeros(rows)
    wishes = Wishes(number, number + 1, words, count)
    cache, seen = empty_cache(config, rows, slots, dtype), jnp.zeros((rows, config.vocab_size), bool)
    return Rows(cache, count, seen, wishes, count, blank.astype(jnp.int32), blank, count, jnp.ones(rows, bool))


def enter(sampler: Sampler, rows: Rows, encoded: Encoded, seats: Seats) -> Rows:
    """Gives seats to encoded prompts' draws, and each draw its first token. `seats` are led by two axes, [B, E]: E draws of the
    prompts of each encoded row, those without a seat last."""
    taken = jnp.sum(jnp.any(seats.rows < len(rows.slots), axis=0))
    return jax.lax.fori_loop(0, taken, lambda n, r: _seat(sampler, r, encoded, jax.tree.map(lambda a: a[:, n], seats)), rows)


def _seat(sampler: Sampler, rows: Rows, encoded: Encoded, seats: Seats) -> Rows:
    here, slots = jnp.arange(len(seats.rows)), rows.cache.keys[0].shape[-1]
    seen = encoded.seen[here, seats.prompts]
    token, logprob = _next(sampler, encoded.logits[here, seats.prompts], seen, seats.wishes, jnp.zeros_like(seats.rows))

    def put(array: Array, new: Array) -> Array:
        return array.at[seats.rows].set(new.astype(array.dtype), mode="drop")

    def own(array: Array, axis: int) -> Array:
        return jax.vmap(lambda a, start: jax.lax.dynamic_slice_in_dim(a, start, slots, axis))(array, seats.starts)

    keys, values, room = own(encoded.keys, 3), own(encoded.values, 2), rows.tokens.shape[1]
    return Rows(
        Cache(
            tuple(put(a, keys[:, n]) for n, a in enumerate(rows.cache.keys)),
            tuple(put(a, values[:, n]) for n, a in enumerate(rows.cache.values)),
        ),
        put(rows.slots, seats.lengths),
        put(rows.seen, seen.at[here, token].set(True)),
        jax.tree.map(put, rows.wishes, seats.wishes),
        put(rows.last, token),
        put(rows.tokens, jnp.pad(token[:, None], ((0, 0), (0, room - 1)))),
        put(rows.logprobs, jnp.pad(logprob[:, None], ((0, 0), (0, room - 1)))),
        put(rows.counts, jnp.ones_like(token)),
        put(rows.ended, _ends(sampler, token) | (seats.wishes.limits <= 1)),
    )


def keep(rows: Rows, chosen: Int[Array, "D fewer"]) -> Rows:
    """The chosen rows alone, each counted among its own device's."""

    def chosen_of(array: Array) -> Array:
        own = array.reshape(len(chosen), -1, *array.shape[1:])
        return jax.vmap(lambda a, n: a[n])(own, chosen).reshape(-1, *array.shape[1:])

    return jax.tree.map(chosen_of, rows)


def move(rows: Rows, moves: Moves) -> Rows:
    """Copies rows to the places of others. No row may be a source and a target, or a target twice."""
    used = jnp.sum(jnp.any(moves.targets < len(rows.slots), axis=1))

    def some(n: Array, rows: Rows) -> Rows:
        return jax.tree.map(lambda a: a.at[moves.targets[n]].set(a[moves.sources[n]], mode="drop"), rows)

    return jax.lax.fori_loop(0, used, some, rows)


def decode(
    config: DecoderConfig, sampler: Sampler, steps: int, total: Callable[[Array], Array], params: nnx.State, layers: Layers,
    rows: Rows, patience: Patience,
) -> Rows:  # fmt: skip
    """Up to `steps` more tokens a row, as far as `patience` goes. All devices stop together: `total` sums their own numbers."""
    model = bind(config, params)
    everyone = total(jnp.int32(len(rows.ended)))
    live, spare = total(jnp.sum(patience.live)), total(jnp.sum(patience.spare))

    def speaking(rows: Rows) -> Array:
        return total(jnp.sum(~rows.ended))

    def go_on(state: tuple[Array, Array, Array, Rows]) -> Array:
        count, idle, going, _ = state
        return (count < steps) & (going > 0) & ((going > live) | (idle + everyone - going <= spare))

    def step(state: tuple[Array, Array, Array, Rows]) -> tuple[Array, Array, Array, Rows]:
        count, idle, going, s = state
        logits, cache = decode_tokens(model, layers, s.cache, s.last, s.slots)
        token, logprob = _next(sampler, logits, s.seen, s.wishes, s.counts)
        goes_on, here = ~s.ended, jnp.arange(len(token))
        counts = s.counts + goes_on
        place = jnp.where(goes_on, s.counts, s.tokens.shape[1])  # past the end: dropped
        s = s._replace(
            cache=cache,
            slots=s.slots + goes_on,
            seen=s.seen.at[here, token].set(True),
            last=token,
            tokens=s.tokens.at[here, place].set(token, mode="drop"),
            logprobs=s.logprobs.at[here, place].set(logprob, mode="drop"),
            counts=counts,
            ended=s.ended | _ends(sampler, token) | (counts >= s.wishes.limits),
        )
        return count + 1, idle + everyone - going, speaking(s), s

    return jax.lax.while_loop(go_on, step, (jnp.int32(0), jnp.int32(0), speaking(rows), rows))[-1]


def _ends(sampler: Sampler, token: Int[Array, " R"]) -> Bool[Array, " R"]:
    return jnp.isin(token, jnp.array(sampler.stop_ids, jnp.int32))


def _next(
    sampler: Sampler, logits: Float[Array, "R V"], seen: Bool[Array, "R V"], wishes: Wishes, counts: Int[Array, " R"]
) -> tuple[Int[Array, " R"], Float[Array, " R"]]:
    """Each row's token of number `counts`, and its log-probability, nats, without temperature, penalty and filters."""
    token = choose(sampler, logits, seen, wishes.keys, wishes.temperatures, wishes.penalties, counts)
    chosen = jnp.take_along_axis(logits, token[:, None], axis=1)[:, 0]
    return token, chosen - jax.nn.logsumexp(logits, axis=-1)


def choose(
    sampler: Sampler,
    logits: Float[Array, "R V"],
    seen: Bool[Array, "R V"],
    keys: UInt32[Array, "R 2"],
    temperatures: Float[Array, " R"],
    penalties: Float[Array, " R"],
    counts: Int[Array, " R"],
) -> Int[Array, " R"]:
    """Each row's token number `counts`, in Hugging Face's order: penalty (of prompt and reply), temperature, top-k, top-p."""
    penalty = penalties[:, None]
    logits = jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)
    best = largest(logits)
    drawn = jax.lax.cond(jnp.any(temperatures > 0), lambda: _draw(sampler, logits, keys, temperatures, counts), lambda: best)
    return jnp.where(temperatures > 0, drawn, best)


def _draw(sampler: Sampler, logits: Array, keys: Array, temperatures: Array, counts: Array) -> Array:
    logits = logits / jnp.where(temperatures > 0, temperatures, 1)[:, None]
    if sampler.top_k:
        least = jax.lax.top_k(logits, min(sampler.top_k, logits.shape[-1]))[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if sampler.top_p < 1.0:
        ranked = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(ranked, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        least = jnp.min(jnp.where(before < sampler.top_p, ranked, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)

    def noise(key: Array, count: Array) -> Array:
        return jax.random.gumbel(jax.random.fold_in(jax.random.wrap_key_data(key), count), logits.shape[1:])

    # The largest of these is what `jax.random.categorical` draws.
    return largest(logits + jax.vmap(noise)(keys, counts))


def largest(values: Float[Array, "R V"]) -> Int[Array, " R"]:
    """The first index of each row's largest value, in two plain reductions: `argmax` is not vectorised on CPU (7 ms, not 2)."""
    index = jnp.arange(values.shape[-1], dtype=jnp.int32)
    return jnp.where(values == values.max(axis=-1, keepdims=True), index, jnp.iinfo(jnp.int32).max).min(axis=-1)
