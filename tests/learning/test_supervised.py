"""DPO from end to end on a tiny model: the frozen reference by brute force, and what the learner makes of the pairs."""

import numpy as np
import pytest
from tiny import reference, tokens
from training import learner

from remid_jax.learning.objectives import Preference
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.supervised import Example, PreferenceRecipe
from remid_jax.learning.trainer import Trainer
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store

PAIRS = [Example(str(n), tokens(20), tokens(6), tokens(9), [{"record": str(n), "text": "no"}]) for n in range(4)]


def logliks(model):
    """[pair, (chosen, rejected)], nats, one sequence at a time."""
    requests = [of.request() for of in PAIRS]
    return np.array([[reference(r, c, model).sum() for c in r.continuations] for r in requests])


def test_chosen_answers_gain_over_rejected_ones():
    model = learner()
    recipe = PreferenceRecipe(PAIRS, ScoringEngine(model, Devices(), Store(":memory:"), 512, 128))
    trainer = Trainer(model, Preference(0.1), adamw(0.01, 12, 0.0, "constant", 1.0, 0.0), Devices(), 512, 128, 0)
    state, before, losses = trainer.start(), logliks(model), []
    for step in range(12):
        lesson = recipe(trainer.model_of(state), [step % 2, 2 + step % 2], step)
        assert lesson.records == [str(step % 2), str(2 + step % 2)]
        assert [row["record"] for row in lesson.rollouts] == lesson.records
        np.testing.assert_allclose(lesson.columns["reference"], before[[step % 2, 2 + step % 2]], atol=1e-3)
        state, metrics = trainer.step(state, lesson.requests, lesson.columns)
        losses.append(metrics["loss"])
    assert losses[0] == pytest.approx(np.log(2), abs=1e-4)  # nothing is preferred yet
    after = logliks(trainer.model_of(state))
    margins = np.diff(before - after, axis=1)[:, 0]
    assert np.all(margins > 5)
    assert losses[-1] < np.log1p(np.exp(-0.1 * 5))
