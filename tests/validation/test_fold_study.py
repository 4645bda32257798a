"""Bounds by fold blocks on worlds: none is violated, and intervals cover what they estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.information.intervals import NEVER, VALIDATED_FROM
from remid_jax.parallel import Devices
from remid_jax.theory.worlds import World, quantities
from remid_jax.theory.worlds.scenarios import SCENARIOS
from remid_jax.validation import fold_study
from remid_jax.validation.coverage_study import channels


@pytest.mark.parametrize("scenario", ["general", "concept"])
def test_no_world_loses_more_in_its_folds_than_the_folds_bounds_allow(scenario):
    found = fold_study.exact(scenario, 300, 0)
    assert found["worlds"] > 250
    assert (found["information"], found["unknown_shift"]) == (0, 0)


def test_a_fold_is_the_world_of_its_contexts_alone():
    with jax.enable_x64(True):
        world = SCENARIOS["general"].sample(3, 1)[0]
        fold = np.zeros(np.shape(world.p_x))
        fold.ravel()[np.flatnonzero(np.ravel(world.p_x + world.q_x) > 0)[:4]] = 1
        found = fold_study._of_fold(world, jnp.asarray(fold))
        kept = fold.ravel() > 0
        arrays = {name: np.asarray(getattr(world, name)) for name in ("p_x", "q_x", "p_y", "q_y", "theta")}
        flat = {name: array.reshape(-1, *array.shape[3:])[kept] for name, array in arrays.items()}
        laws = [flat[name] / flat[name].sum() for name in ("p_x", "q_x")]
        alone = World(*(jnp.asarray(of)[:, None, None] for of in (*laws, flat["p_y"], flat["q_y"], flat["theta"])))
        assert float(found["emid"]) == pytest.approx(float(quantities(alone).emid), abs=1e-12)
    assert float(found["share"]) == pytest.approx((flat["p_x"].sum() + flat["q_x"].sum()) / 2)


def test_intervals_of_bounds_by_folds_cover_about_what_they_say_and_none_is_called_validated():
    found = fold_study.coverage(channels()["calm"], 16, 60, 0, Devices())
    for name, of in found.items():
        assert of["refused"] == 0
        assert 0.85 <= of["coverage"] <= 1, name  # of 60 tables; by 3 standard errors 95% is 0.87 or more
    assert found["emid"]["value"] < found["plug_in"]["value"] < found["unknown_shift"]["value"]
    assert VALIDATED_FROM["bound"] == VALIDATED_FROM["risk"] == NEVER
