"""Engines are told apart by all that changes their numbers, and counted by source."""

import dataclasses

import pytest
from tiny import REQUESTS, tiny_chat_model

from remid_jax.parallel import Devices
from remid_jax.scoring.engines import Engines
from remid_jax.scoring.store import Store


@pytest.fixture
def engines():
    return Engines(Devices(), Store(":memory:"), 256, 256, 4)


def test_one_model_in_two_dtypes_has_two_engines(engines):
    single = tiny_chat_model()
    half = dataclasses.replace(single, dtype="bfloat16")
    assert [engines.generator(model).model.dtype for model in (single, half)] == ["float32", "bfloat16"]
    assert [engines.scoring(model).model.dtype for model in (single, half)] == ["float32", "bfloat16"]
    assert engines.scoring(single) is engines.scoring(dataclasses.replace(single))


def test_models_of_one_source_are_counted_together(engines):
    first, second = tiny_chat_model(), tiny_chat_model(1)
    idle = dataclasses.replace(first, fingerprint="weights that nobody reads")
    assert first.source == second.source == idle.source
    engines.scoring(first).score(REQUESTS)
    engines.scoring(second).score(REQUESTS[:1])
    engines.scoring(idle)
    plans = [engines.scoring(first).plan(REQUESTS), engines.scoring(second).plan(REQUESTS[:1])]
    rows = [row for plan in plans for row in plan.rows]
    counts = engines.counts()
    [scoring] = counts["scoring"].values()
    assert scoring["rows"] == scoring["store_misses"] == len(rows)
    assert scoring["tokens"] == sum(len(row.tokens) for row in rows)
    by_bucket = {bucket: sum(row.bucket == bucket for row in rows) for bucket in {row.bucket for row in rows}}
    assert scoring["buckets"] == {"logprobs": by_bucket}
    assert len(by_bucket) > 1
    assert counts["loaded"] == {first.source: True}
