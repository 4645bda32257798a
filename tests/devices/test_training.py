"""A training step on eight devices, parameters and moments split or whole: 1x8 = 4x2 = 8x1 = row by row."""

import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
import tiny_run
from training import groups, learner

from remid_jax.learning.objectives import GroupRelative
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import named
from remid_jax.parallel import Devices

OBJECTIVE = GroupRelative(PolicyLoss("grpo", penalty="k2", penalty_weight=0.1))
MOMENTUM = optax.chain(optax.clip_by_global_norm(0.3), optax.sgd(0.1, momentum=0.9))  # Adam divides rounding by rounding


def columns(requests):
    rng = np.random.default_rng(0)
    lengths = [[len(c.ids) for c in request.continuations] for request in requests]
    drawn = {name: [[rng.normal(-3, 1, n) for n in row] for row in lengths] for name in ("sampled", "reference")}
    return drawn | {"advantages": [[float(rng.normal()) for _ in row] for row in lengths]}


def trained(model_axis, tokens_per_step, optimizer=MOMENTUM):
    devices = Devices("mesh", model_axis)
    trainer = Trainer(learner(mesh=devices.mesh), OBJECTIVE, optimizer, devices, tokens_per_step, 256, 0)
    state, requests = trainer.start(), groups(prompts=(30, 9, 17, 50, 5, 21))
    for _ in range(2):
        state, metrics = trainer.step(state, requests, columns(requests))
    return state, metrics


@pytest.fixture(scope="module")
def expected():
    return trained(8, 64)  # one device's worth of rows at a time


@pytest.mark.parametrize(("model_axis", "tokens_per_step"), [(1, 4096), (2, 512), (8, 4096)])
def test_a_step_is_the_same_however_devices_share_it(expected, model_axis, tokens_per_step):
    assert jax.device_count() == 8
    state, metrics = trained(model_axis, tokens_per_step)
    assert metrics == pytest.approx(expected[1], rel=1e-4)
    for name, array in named(state.trainable).items():
        np.testing.assert_allclose(array, named(expected[0].trainable)[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_moments_are_split_as_their_parameters():
    state, _ = trained(8, 4096, optax.adamw(0.01))
    mean = state.moments[0].mu["layers"]["mlp"]["up"]["lora"]["b"][...]
    assert mean.sharding.shard_shape(mean.shape) == (2, 3, 6)
    assert state.trainable["layers"]["mlp"]["down"]["lora"]["a"][...].sharding.shard_shape((2, 48, 3)) == (2, 6, 3)


def test_a_run_begun_on_one_device_goes_on_on_eight(tmp_path):
    """Stopped within the second phase, where moments, feeds and samples of both learners matter."""
    alone = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {
        "PYTHONPATH": os.pathsep.join(sys.path)
    }
    for folder, stop in (("whole", None), ("begun", 4)):
        asked = [sys.executable, tiny_run.__file__, str(tmp_path / folder), *([str(stop)] if stop else [])]
        child = subprocess.Popen(asked, env=alone, stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            if line == f"step {stop}\n":
                while not (tmp_path / folder / "checkpoints" / str(stop)).is_dir():
                    pass
                child.kill()
        child.wait()
    steps = []
    found = tiny_run.train(tmp_path / "begun", Devices("mesh", 2), steps.append)
    expected = tiny_run.train(tmp_path / "whole", Devices("mesh", 2))
    assert steps == [4, 5]
    for name, model in found.items():
        for path, array in named(model.added).items():
            wanted = np.asarray(named(expected[name].added)[path])  # one entry alone: Adam divides rounding by rounding
            assert np.linalg.norm(array - wanted) <= 1e-5 * np.linalg.norm(wanted), path
