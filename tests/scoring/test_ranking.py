"""Log-probabilities of tokens and of the likeliest ones are a plain softmax's, from the device and from the store."""

import numpy as np
from tiny import CONFIG, REQUESTS, plain_distributions, tiny_model

from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.ranking import RankingEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store


def test_ranks_are_a_plain_softmaxs_and_those_of_the_store_are_equal():
    store = Store(":memory:")
    first, second = (RankingEngine(tiny_model(), Devices(), store, 512, 256) for _ in range(2))
    found = first.rank(REQUESTS)
    for request, own in zip(REQUESTS, found, strict=True):
        for continuation, ranked in zip(request.continuations, own, strict=True):
            ids = list(continuation.ids)
            plain = plain_distributions(tiny_model(), request.prefix, ids)
            np.testing.assert_allclose(ranked.logprobs, plain[np.arange(len(ids)), ids], atol=1e-4, rtol=0)
            np.testing.assert_allclose(ranked.best_logprobs, plain.max(-1), atol=1e-4, rtol=0)
            assert ranked.best_ids.tolist() == plain.argmax(-1).tolist()
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
