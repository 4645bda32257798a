"""Numbers that are not finite are refused by the model's name, in words a person can act on, and never stored."""

import numpy as np
import pytest
from tiny import REQUESTS, overflowing, tiny_model

from remid_jax.errors import UserError
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator, Prompt
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

SAID = "are not finite in float32, first those of number"


def test_scores_name_the_model_and_the_first_request(tmp_path):
    requests = [Request([3, 4, 5], [Continuation([6, 7])], "a"), Request([3, 9, 5], [Continuation([6, 7])], "b")]
    store = Store(tmp_path / "store")
    for _ in range(2):  # the second time, too: nothing of it was stored
        with pytest.raises(UserError, match=f"^large: logprobs of 1 of 2 requests {SAID} 2: the model's numbers overflow"):
            ScoringEngine(overflowing(9), Devices(), store, 64, 64).score(requests)


def test_bfloat16_is_advised_to_try_float32(tmp_path):
    with pytest.raises(UserError, match=r"not finite in bfloat16.*: open it in float32, or name another export"):
        ScoringEngine(overflowing(REQUESTS[0].prefix[0], "bfloat16"), Devices(), Store(tmp_path / "store"), 256, 256).score(
            REQUESTS
        )


def test_embeddings_and_samples_are_refused_alike(tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(UserError, match=f"^large: embedding mean of 1 of 2 requests {SAID} 1:"):
        ScoringEngine(overflowing(9), Devices(), store, 64, 64).embed([[9, 4], [5, 6]], group=["a", "b"])
    with pytest.raises(UserError, match=f"^large: replies of 1 of 2 requests {SAID} 2:"):
        Generator(overflowing(9), Devices(), store, 4).generate([Prompt([3, 4]), Prompt([9, 4])], Sampler(4, (1,)))
    alone = Generator(tiny_model(), Devices(), Store(":memory:"), 4).generate([Prompt([3, 4])], Sampler(4, (1,)))
    assert (
        Generator(overflowing(9), Devices(), store, 4).generate([Prompt([3, 4])], Sampler(4, (1,))) == alone
    )  # from the store


def test_what_an_older_store_holds_is_computed_again(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    expected = ScoringEngine(tiny_model(), Devices(), store, 256, 256).score(REQUESTS)
    monkeypatch.setattr(
        store, "get", lambda keys, get=store.get: {k: b"\0\0\xc0\x7f" * (len(v) // 4) for k, v in get(keys).items()}
    )
    engine = ScoringEngine(tiny_model(), Devices(), store, 256, 256)
    for found, wanted in zip(engine.score(REQUESTS), expected, strict=True):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    assert engine.counts.store_hits == 0
