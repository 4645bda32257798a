"""Sampling: a batch of prompts of unlike lengths is prefilled at once, then decoded in a compiled loop.

Prompts are padded on the right; new tokens go to the slots behind the longest prompt, at positions that continue each row's
own. Every row draws from its own key, so what it says depends on nobody in the batch.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt32

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import NEVER, Cache, Decoder, TokenTree, bind, empty_cache


@dataclasses.dataclass(frozen=True)
class Sampler:
    """When a reply ends, and which tokens may be drawn; `top_k` 0 and `top_p` 1 keep every one.

    A row ends with the first id of `stop_ids`, or after `max_new` tokens. Temperature and repetition penalty are each draw's
    own (`Prompts`), so one batch may hold greedy and sampled replies to the same prompt.
    """

    max_new: int
    stop_ids: tuple[int, ...]
    top_k: int = 0
    top_p: float = 1.0


class Prompts(NamedTuple):
    """Right-padded prompts, and for each of a prompt's draws its temperature (0: greedy), repetition penalty and the two words
    of its random key. A length of 0 marks a filler."""

    tokens: Int[Array, "B T"]
    lengths: Int[Array, " B"]
    keys: UInt32[Array, "B draws 2"]
    temperatures: Float[Array, "B draws"]
    penalties: Float[Array, "B draws"]


class Draws(NamedTuple):
    """The state of a decode loop over R = B * draws rows. `tokens`, `logprobs` [R, max_new] are filled up to `counts`."""

    cache: Cache
    tree: TokenTree
    logits: Float[Array, "R V"]
    seen: Bool[Array, "R V"]
    keys: UInt32[Array, "R 2"]
    temperatures: Float[Array, " R"]
    penalties: Float[Array, " R"]
    tokens: Int[Array, "R N"]
    logprobs: Float[Array, "R N"]
    counts: Int[Array, " R"]
    ended: Bool[Array, " R"]
    step: Int[Array, ""]


def prefill(config: DecoderConfig, max_new: int, params: nnx.State, prompts: Prompts) -> Draws:
    """Encodes the prompts once and lays out one row for each draw."""
    model = bind(config, params)
    rows, width = prompts.tokens.shape
    draws = prompts.keys.shape[1]
    slot, lengths = jnp.arange(width + max_new)[None], prompts.lengths[:, None]
    tree = TokenTree(
        jnp.where(slot < width, slot, lengths + slot - width),
        jnp.where((slot < lengths) | (slot >= width), NEVER, 0),
    )
    hidden, cache = model(prompts.tokens, tree, empty_cache(config, rows, width + max_new, model.embedding.dtype))
    last = jnp.take_along_axis(hidden, jnp.maximum(lengths - 1, 0)[:, :, None], axis=1)[:, 0]
    real = jnp.arange(width)[None] < lengths
    seen = jnp.zeros((rows, config.vocab_size), bool).at[jnp.arange(rows)[:, None], prompts.tokens].max(real)

    def repeat(a: Array) -> Array:
        return jnp.repeat(a, draws, axis=0)

    blank = jnp.zeros((rows * draws, max_new))
    return Draws(
        cache=jax.tree.map(lambda a: jnp.repeat(a, draws, axis=1), cache),
        tree=TokenTree(*map(repeat, tree)),
        logits=repeat(model.logits(last)),
        seen=repeat(seen),
        keys=prompts.keys.reshape(rows * draws, 2),
        temperatures=prompts.temperatures.reshape(rows * draws),
        penalties=prompts.penalties.reshape(rows * draws),
        tokens=blank.astype(jnp.int32),
        logprobs=blank,
        counts=jnp.zeros(rows * draws, jnp.int32),
        ended=repeat(prompts.lengths == 0),
        step=jnp.int32(0),
    )


def decode(config: DecoderConfig, sampler: Sampler, steps: int, params: nnx.State, state: Draws) -> Draws:
    """Up to `steps` more tokens; stops early when every row has ended."""
    model = bind(config, params)
    stop = jnp.minimum(state.step + steps, sampler.max_new)
    width = state.tree.positions.shape[1] - sampler.max_new
    return jax.lax.while_loop(
        lambda s: (s.step < stop) & ~jnp.all(s.ended), lambda s: _decode_one(model, sampler, width, s), state
    )


def _decode_one(model: Decoder, sampler: Sampler, width: int, state: Draws) -> Draws:
    token = choose(sampler, state.logits, state.seen, state.keys, state.temperatures, state.penalties, state.step)
    logprob = jnp.take_along_axis(jax.nn.log_softmax(state.logits), token[:, None], axis=1)[:, 0]
    live = ~state.ended
    tokens = state.tokens.at[:, state.step].set(jnp.where(live, token, 0))
    logprobs = state.logprobs.at[:, state.step].set(jnp.where(live, logprob, 0.0))
    ended = state.ended | jnp.isin(token, jnp.array(sampler.stop_ids, jnp.int32))
    hidden, cache = model(token[:, None], state.tree, state.cache, width + state.step)
    assert cache is not None
    return state._replace(
        cache=cache,
        logits=model.logits(hidden[:, 0]),
        seen=state.seen.at[jnp.arange(len(token)), token].set(True),
        tokens=tokens,
        logprobs=logprobs,
        counts=state.counts + live,
        ended=ended,
        step=state.step + 1,
    )


def choose(
    sampler: Sampler,
    logits: Float[Array, "R V"],
    seen: Bool[Array, "R V"],
    keys: UInt32[Array, "R 2"],
    temperatures: Float[Array, " R"],
    penalties: Float[Array, " R"],
    step: Int[Array, ""],
) -> Int[Array, " R"]:
    """The next token of every row, in Hugging Face's order: penalty (over prompt and reply), temperature, top-k, top-p."""
    penalty = penalties[:, None]
    logits = jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)
    best = jnp.argmax(logits, axis=-1)
    drawn = jax.lax.cond(jnp.any(temperatures > 0), lambda: _draw(sampler, logits, keys, temperatures, step), lambda: best)
    return jnp.where(temperatures > 0, drawn, best).astype(jnp.int32)


def _draw(sampler: Sampler, logits: Array, keys: Array, temperatures: Array, step: Array) -> Array:
    logits = logits / jnp.where(temperatures > 0, temperatures, 1)[:, None]
    if sampler.top_k:
        logits = jnp.where(logits < jax.lax.top_k(logits, sampler.top_k)[0][:, -1:], -jnp.inf, logits)
    if sampler.top_p < 1.0:
        ranked = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(ranked, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        least = jnp.min(jnp.where(before < sampler.top_p, ranked, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)

    def draw(key: Array, row: Array) -> Array:
        return jax.random.categorical(jax.random.fold_in(jax.random.wrap_key_data(key), step), row)

    return jax.vmap(draw)(keys, logits)
