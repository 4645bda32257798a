"""The hot loops move nothing between host and devices but what they place and fetch by name: all else is an error here."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import REQUESTS, tiny_model
from training import groups, learner

from remid_jax.learning.objectives import Likelihood
from remid_jax.learning.trainer import Trainer
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt
from remid_jax.scoring.store import Store


def test_the_guard_sees_what_it_should():
    doubled = jax.jit(lambda x: 2 * x)
    with jax.transfer_guard("disallow"), pytest.raises(Exception, match="Disallowed host-to-device"):
        doubled(np.ones(3))


def test_scoring_moves_nothing_on_the_sly():
    engine = ScoringEngine(tiny_model(), Devices(), Store(":memory:"), 256, 256)
    assert engine._params is not None  # the weights are placed once, when they are read
    with jax.transfer_guard("disallow"):
        guarded = engine.score(REQUESTS)
    free = ScoringEngine(tiny_model(), Devices(), Store(":memory:"), 256, 256).score(REQUESTS)
    for a, b in zip(guarded, free, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_sampling_moves_nothing_on_the_sly():
    def generator():
        return Generator(tiny_model(), Devices(), Store(":memory:"), 4)

    prompts = [Prompt(request.prefix[:20], [Draw(), Draw(1.0, key=(1, 2))]) for request in REQUESTS]
    made = generator()
    assert made._params is not None
    with jax.transfer_guard("disallow"):
        guarded = made.generate(prompts, Sampler(20, (1,)))
    assert guarded == generator().generate(prompts, Sampler(20, (1,)))


def test_a_training_step_moves_nothing_on_the_sly():
    def changed(guard):
        trainer = Trainer(learner(), Likelihood(), optax.sgd(1.0), Devices(), 512, 256, 0)
        state = trainer.start()
        assert trainer._frozen is not None
        with jax.transfer_guard(guard):
            state, metrics = trainer.step(state, groups(), {})
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state.trainable)], metrics

    (guarded, metrics), (free, same) = changed("disallow"), changed("allow")
    assert metrics["loss"] == same["loss"]
    assert all(np.array_equal(a, b) for a, b in zip(guarded, free, strict=True))
    assert jnp.isfinite(metrics["loss"])
