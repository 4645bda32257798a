"""Estimates, their jackknife and bootstrap, bounds of runs and of worlds: on eight devices the numbers of one."""

import jax
import numpy as np
import pytest
from score_arrays import score_arrays, with_shifts

from remid_jax.information import score_table
from remid_jax.information.bounds.on_worlds import every_bound
from remid_jax.information.estimates import Settings, estimates
from remid_jax.information.worlds import in_blocks
from remid_jax.information.worlds.scenarios import SCENARIOS
from remid_jax.parallel import Devices


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
            assert found[place] == pytest.approx(value, rel=1e-9, abs=1e-9), place
        else:
            assert found[place] == value, place


@pytest.fixture(scope="module")
def one_device():
    return Devices("mesh", jax.device_count())


@pytest.fixture(scope="module")
def table():
    # 35 lineages: the bootstrap takes part; 35 replies and 36 replicates do not divide by eight
    arrays = with_shifts(score_arrays({"IDTest": 35, "german": 35}, samples=4))
    return score_table.parse({name: array for name, array in arrays.items() if "reasoned" not in name})


@pytest.fixture(scope="module")
def expected(table, one_device):
    return estimates(table, Settings(bootstrap=50), one_device)


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_estimates_intervals_and_bounds_of_a_run(table, expected, parallel):
    found = estimates(table, Settings(bootstrap=50), Devices(parallel))
    assert found["bounds"]["categories"]["german"]["bounds"]["plain"]["plug_in"]["bound"]["value"] > 0
    assert found["headline"]["categories"]["german"]["interval"]["bootstrap"]["draws"] == 50
    assert_same(found, expected)


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_bounds_of_worlds(parallel, one_device):
    with jax.enable_x64(True):
        worlds = SCENARIOS["user"].sample(0, 37)
        found = in_blocks(every_bound, worlds, Devices(parallel), block=16)
        alone = in_blocks(every_bound, worlds, one_device, block=16)
    assert found.keys() == alone.keys()
    for name, array in alone.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
