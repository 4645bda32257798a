"""Estimates, their jackknife and bootstrap, bounds of runs and of worlds: on eight devices the numbers of one."""

import jax
import numpy as np
import pytest
from score_arrays import score_arrays, with_shifts, without

from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices
from remid_jax.theory.bounds.on_worlds import BOUNDS
from remid_jax.theory.worlds import in_blocks, quantities
from remid_jax.theory.worlds.scenarios import SCENARIOS


def numbers(tree, place=""):
    """{path: number or text} of a JSON tree."""
    if isinstance(tree, dict):
        return {k: v for name, part in tree.items() for k, v in numbers(part, f"{place}/{name}").items()}
    if isinstance(tree, list):
        return {k: v for i, part in enumerate(tree) for k, v in numbers(part, f"{place}/{i}").items()}
    return {place: tree}


def assert_same(found, expected):
    found, expected = numbers(found), numbers(expected)
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        if isinstance(value, float):
            # The multipliers of Jensen-Shannon risk are searched in single precision; its value moves by their errors' squares.
            within = 1e-6 if "/js/risk" in place else 1e-9
            assert found[place] == pytest.approx(value, rel=within, abs=within), place
        else:
            assert found[place] == value, place


@pytest.fixture(scope="module")
def one_device():
    return Devices("mesh", jax.device_count())


def settings(bootstrap):
    return Settings(bootstrap=bootstrap, subsamples=1)


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_estimates_jackknife_and_bootstrap(parallel, one_device):
    # 35 lineages: the bootstrap takes part; 35 replies and 36 replicates do not divide by eight
    arrays = without(score_arrays({"IDTest": 35, "german": 35}), "reasoned", "/self/", "golden_half", "constant")
    table = parse(arrays)
    found, expected = (estimates(table, settings(50), devices) for devices in (Devices(parallel), one_device))
    assert found["headline"]["categories"]["german"]["interval"]["bootstrap"]["draws"] == 50
    assert_same(found, expected)


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_bounds_of_a_run(parallel, one_device):
    arrays = without(with_shifts(score_arrays({"IDTest": 6, "german": 6}, samples=4)), "reasoned", "/embedding/")
    table = parse(arrays)
    found, expected = (estimates(table, settings(0), devices)["bounds"] for devices in (Devices(parallel), one_device))
    assert found["categories"]["german"]["bounds"]["plain"]["unknown_shift"]["bound"]["value"] > 0
    assert_same(found["categories"], expected["categories"])
    assert_same(found["risk"], expected["risk"])


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_bounds_of_worlds(parallel, one_device):
    def of_world(world):
        of = quantities(world)
        return {name: BOUNDS[name](of).value for name in ("information", "layered", "unknown_shift", "risk_kl")}

    with jax.enable_x64(True):
        worlds = SCENARIOS["user"].sample(0, 37)
        found = in_blocks(of_world, worlds, Devices(parallel), block=16)
        alone = in_blocks(of_world, worlds, one_device, block=16)
    for name, array in alone.items():
        assert found[name].shape == (37,)
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
