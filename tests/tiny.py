"""A tiny random language model, made in the test process, questions to ask it, and their answers worked out plainly."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from small_vocabulary import small_tokenizer

from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder, TokenTree, bind
from remid_jax.models.loading import LanguageModel, with_params
from remid_jax.parallel import path_name
from remid_jax.scoring.requests import Continuation, Request

CONFIG = DecoderConfig("llama", 97, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=False)

NEVER = jnp.iinfo(jnp.int32).max  # an `ends` value for tokens that all later slots may see


@functools.cache
def tiny_model(dtype: str = "float32", seed: int = 0, config: DecoderConfig = CONFIG) -> LanguageModel:
    """A model whose next-token distributions are far from flat (kernels scaled up fourfold), ending with id 1."""
    params = nnx.split(Decoder(config, nnx.Rngs(seed)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda path, a: (a * (4 if "kernel" in str(path) else 10 if "head" in str(path) else 1)).astype(jnp.dtype(dtype)),
        params,
    )
    leaves = [(path_name(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    return LanguageModel("tiny", config, None, dtype, f"tiny-{seed}", (1,), lambda: iter(leaves))


def overflowing(token, dtype="float32"):
    """The tiny model with an embedding of one token that has no bounds."""
    model = tiny_model(dtype)
    params = jax.tree.map(lambda a: a, model.params)
    params["embedding"].set_value(params["embedding"][...].at[token].set(np.inf))
    return with_params(dataclasses.replace(model, source="large"), params, "large")


@functools.cache
def tiny_chat_model(seed: int = 0) -> LanguageModel:
    """The tiny model with SmolLM2's pieces and chat template."""
    tokenizer, pieces = small_tokenizer()
    model = tiny_model(seed=seed, config=dataclasses.replace(CONFIG, vocab_size=pieces))
    return dataclasses.replace(model, tokenizer=tokenizer, end_ids=(tokenizer.end_of_turn_id,))


RNG = np.random.default_rng(0)


def tokens(length):
    return RNG.integers(2, CONFIG.vocab_size, length).tolist()


REQUESTS = [
    Request(prefix, [Continuation(tokens(n)) for n in (1, 9, 30)], group)
    for prefix, group in ((tokens(40), "a"), (tokens(7), "a"), (tokens(150), "b"))
]


def reference(request, continuation):
    """Of one of the questions, by the tiny model alone."""
    return plain_logprobs(tiny_model(), request.prefix, continuation.ids)


def plain_logprobs(model, prefix, ids):
    """Of `ids` after `prefix`, nats (see `plain_distributions`)."""
    return plain_distributions(model, prefix, ids)[np.arange(len(ids)), ids]


def plain_distributions(model, prefix, ids):
    """Of every token in the places of `ids` after `prefix`, nats [ids, V]: one sequence alone, padded behind its end, where
    nothing can change what stands before."""
    text = [*prefix, *ids]
    padded = jnp.array([text + [0] * (-len(text) % 128)])
    places = jnp.arange(len(prefix) - 1, len(prefix) - 1 + 128 * -(-len(ids) // 128)) % padded.shape[1]
    logits = np.asarray(_logits(model.config)(model.params, padded, places), np.float64)[: len(ids)]
    most = logits.max(-1, keepdims=True)
    return logits - most - np.log(np.exp(logits - most).sum(-1, keepdims=True))


@functools.cache
def _logits(config):
    @jax.jit
    def logits(params, ids, places):
        decoder = bind(config, params)
        hidden = decoder(ids, TokenTree(jnp.arange(ids.shape[1])[None], jnp.full(ids.shape, NEVER)))
        return decoder.logits(hidden[0, places])

    return logits


def assert_equal(found, expected, tolerance=1e-4):
    for got, want in zip(found, expected, strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)
