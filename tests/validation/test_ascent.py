"""The search for the worst world: where it begins, and that it finds what is there to find."""

import jax
import numpy as np
import pytest

from remid_jax.parallel import Devices
from remid_jax.theory.bounds.on_worlds import every_bound
from remid_jax.theory.worlds import in_blocks, quantities
from remid_jax.theory.worlds.scenarios import FIXED
from remid_jax.validation import world_study
from remid_jax.validation.ascent import ascend, starts, worlds_of


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", ["user", "general", "mild_tilt"])
def test_a_quarter_begins_near_determinism_and_a_quarter_near_p_equal_to_q(name):
    worlds = worlds_of(FIXED[name], starts(FIXED[name], 0, 200))
    certain = np.asarray(worlds.theta.max(-1)).mean((1, 2, 3))
    apart = np.asarray(jax.jit(jax.vmap(lambda world: quantities(world).js_x))(worlds))
    quarter = np.arange(200) // 50
    assert np.mean(certain[quarter == 1]) > 0.8 > np.mean(certain[quarter == 0])
    assert np.median(apart[quarter == 2]) < 0.05 * np.median(apart[quarter == 0])


def test_it_attains_a_bound_that_holds_and_passes_one_that_does_not():
    for bound, reached in (("information", 0.95), ("published", 1.0)):
        done = []
        found = ascend(FIXED["user"], bound, 0, 12, 600, lambda steps, total, done=done: done.append((steps, total)))
        assert found.ratio.max() > reached
        assert bool((found.excess > 0).any()) is (bound == "published")
        assert done[-1] == (12 * 600, 12 * 600)
        last = in_blocks(every_bound, worlds_of(FIXED["user"], found.logits), Devices(), 12)
        assert np.nanmax(np.where(last["emid"] > 1e-6, last["emid"] / last[bound], 0)) <= found.ratio.max() + 1e-9


def test_an_ascent_and_a_scenario_say_what_they_met():
    found = world_study.ascents("user", ("information", "published"), 12, 600, 0, 2, lambda done, total: None)
    assert found["information"]["violations"] == found["information"]["at_end"] == 0
    assert found["published"]["violations"] > 0
    assert 0.5 < found["information"]["median"] <= found["information"]["highest"] <= 1 + 1e-9
    of = world_study.scenario("user", 60, 0, Devices(), lambda done, total: None)
    assert of["worlds"] == 60 >= of["positive"] > 0
    assert of["bounds"]["information"]["violations"] == 0
    assert 0 < of["bounds"]["information"]["median"] < of["bounds"]["information"]["highest"] <= 1
