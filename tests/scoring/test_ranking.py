"""Log-probabilities of tokens and of the likeliest ones are a plain softmax's, from the device and from the store."""

import jax.numpy as jnp
import numpy as np
from tiny import CONFIG, REQUESTS, tiny_model

from remid_jax.models.decoder import NEVER, TokenTree, bind
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.ranking import RankingEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store


def plain(prefix, ids):
    """(log-probabilities, likeliest ones, their ids) of `ids` behind `prefix`, one sequence alone, in float64."""
    model = tiny_model()
    text = jnp.array([[*prefix, *ids]])
    decoder = bind(model.config, model.params)
    tree = TokenTree(jnp.arange(text.shape[1])[None], jnp.full(text.shape, NEVER))
    logits = np.asarray(decoder.logits(decoder(text, tree)), np.float64)[0, len(prefix) - 1 : -1]
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return logprobs[np.arange(len(ids)), ids], logprobs.max(-1), logprobs.argmax(-1)


def test_ranks_are_a_plain_softmaxs_and_those_of_the_store_are_equal():
    store = Store(":memory:")
    first, second = (RankingEngine(tiny_model(), Devices(), store, 512, 256) for _ in range(2))
    found = first.rank(REQUESTS)
    for request, own in zip(REQUESTS, found, strict=True):
        for continuation, ranked in zip(request.continuations, own, strict=True):
            for column, expected in zip(ranked, plain(request.prefix, continuation.ids), strict=True):
                np.testing.assert_allclose(column, expected, atol=1e-4, rtol=0)
    for own, again in zip(found, second.rank(REQUESTS), strict=True):
        for ranked, stored in zip(own, again, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ranked, stored, strict=True))
    assert second.counts.device_steps == 0


def test_the_likeliest_token_has_the_same_value_to_the_bit():
    engine = RankingEngine(tiny_model(), Devices(), Store(":memory:"), 512, 256)
    ids = [5, 6]
    for _ in range(12):
        [[ranked]] = engine.rank([Request(ids, [Continuation([0])])])
        ids.append(int(ranked.best_ids[0]))
    [[ranked]] = engine.rank([Request(ids[:2], [Continuation(ids[2:])])])
    assert ranked.best_ids.tolist() == ids[2:]
    assert np.array_equal(ranked.logprobs, ranked.best_logprobs)
    assert max(ids) < CONFIG.vocab_size


def test_ranks_and_scores_share_a_store_without_mixing():
    store = Store(":memory:")
    scores = ScoringEngine(tiny_model(), Devices(), store, 512, 256).score(REQUESTS)
    ranks = RankingEngine(tiny_model(), Devices(), store, 512, 256).rank(REQUESTS)
    for own, ranked in zip(scores, ranks, strict=True):
        for row, columns in zip(own, ranked, strict=True):
            np.testing.assert_allclose(columns.logprobs, row, atol=1e-4, rtol=0)
