"""AdamW's rates and clip in closed form: with a constant gradient of 1 and no decay, an update is minus the rate."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.errors import UserError
from remid_jax.learning.optimizers import adamw

SETTINGS = {"learning_rate": 0.1, "steps": 20, "warmup": 0.2, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.0}


def updates(gradients, parameter=0.0, **changes):
    optimizer = adamw(**(SETTINGS | changes))
    state, found = optimizer.init(jnp.float32(parameter)), []
    for gradient in gradients:
        change, state = optimizer.update(jnp.float32(gradient), state, jnp.float32(parameter))
        found.append(float(change))
    return np.array(found)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize(("warmup", "rising"), [(0.2, 4), (0.0, 0), (0.06, 1), (1.0, 20)])
def test_the_rate_rises_and_falls_as_said(schedule, warmup, rising):
    expected = []
    for step in range(20):
        if step < rising:
            expected.append(0.1 * (step + 1) / rising)
        else:
            fallen = (1 + math.cos(math.pi * (step - rising) / (20 - rising))) / 2 if schedule == "cosine" else 1.0
            expected.append(0.1 * fallen)
    np.testing.assert_allclose(-updates([1.0] * 20, warmup=warmup, schedule=schedule), expected, rtol=1e-4, atol=1e-7)


def test_a_large_gradient_is_clipped():
    """Clipped to 1 the first looks like the others; left at 100 it would dwarf them in the moments."""
    np.testing.assert_allclose(updates([100.0, 1.0, 1.0]), updates([1.0, 1.0, 1.0]), rtol=1e-6)
    assert abs(updates([100.0, 1.0, 1.0], clip=1000.0)[2]) < 0.8 * abs(updates([1.0, 1.0, 1.0])[2])


def test_weight_decay_is_of_the_parameter_and_not_in_the_moments():
    plain, decayed = updates([1.0] * 3, parameter=5.0), updates([1.0] * 3, parameter=5.0, weight_decay=0.3)
    np.testing.assert_allclose(decayed, plain * (1 + 0.3 * 5.0), rtol=1e-5)


@pytest.mark.parametrize("change", [{"learning_rate": 0.0}, {"warmup": 1.1}, {"clip": 0.0}, {"steps": 0}, {"weight_decay": -1}])
def test_what_means_nothing_is_refused(change):
    with pytest.raises(UserError, match="rate and clip must be positive"):
        adamw(**(SETTINGS | change))
