"""Adapters: a fresh one changes nothing; two stand on one base."""

import numpy as np
from tiny import CONFIG, tiny_model
from tiny_adapters import SOME, logits, trained

from remid_jax.models.adapters import adapted, fresh, named
from remid_jax.models.config import LoRAConfig


def test_a_fresh_adapter_changes_nothing():
    model = tiny_model()
    np.testing.assert_array_equal(logits(adapted(model, fresh(CONFIG, LoRAConfig(4, 8.0), 0))), logits(model))


def test_a_fresh_adapter_is_drawn_as_said():
    leaves = named(fresh(CONFIG, SOME, 3).params)
    a, b = leaves["layers/mlp/down/lora/a"], leaves["layers/mlp/down/lora/b"]
    assert (a.shape, b.shape) == ((2, 48, 4), (2, 4, 32))
    assert not b.any()
    assert np.abs(a).max() < 48**-0.5
    np.testing.assert_allclose(np.var(a), 1 / (3 * 48), rtol=0.2)
    assert sorted({name.split("/")[2] for name in leaves}) == ["down", "query", "value"]


def test_two_adapters_stand_on_one_base_at_once():
    model = tiny_model()
    one, two = (adapted(model, trained(SOME, seed)) for seed in (1, 2))
    embeddings = {id(of.params["embedding"][...]) for of in (model, one, two)}
    assert len(embeddings) == 1
    assert len({of.fingerprint for of in (model, one, two)}) == 3
    assert np.abs(logits(one) - logits(two)).max() > 0.1
