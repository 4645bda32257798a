"""Each scenario's worlds shift what it says and keep what it says, and are the same again for the same seed."""

import jax
import numpy as np
import pytest

from remid_jax.theory.worlds import from_arrays, to_arrays
from remid_jax.theory.worlds.scenarios import FIXED, SCENARIOS, softmax


def conditional(law, given):
    """law / its marginal of the axes `given` (batch axis 0 kept), 0 where that is 0."""
    others = tuple(axis for axis in (1, 2, 3) if axis not in given)
    total = law.sum(axis=others, keepdims=True)
    return np.divide(law, total, out=np.zeros_like(law), where=total > 0)


def sample(name, count=200, scenarios=SCENARIOS):
    with jax.enable_x64(True):
        return to_arrays(scenarios[name].sample(7, count))


@pytest.mark.parametrize("scenarios", [SCENARIOS, FIXED])
@pytest.mark.parametrize("name", SCENARIOS)
def test_worlds_are_proper_and_repeatable(name, scenarios):
    worlds = sample(name, 50, scenarios)
    from_arrays(worlds)  # raises if a law is not one
    for array, again in zip(worlds.values(), sample(name, 50, scenarios).values(), strict=True):
        np.testing.assert_array_equal(array, again)
    same = np.array_equal(worlds["p_y"], worlds["q_y"])
    assert same is (name != "concept")
    assert np.abs(worlds["p_x"] - worlds["q_x"]).max() > 0.01


@pytest.mark.parametrize(("name", "given"), [("user", (1,)), ("many_users", (1,)), ("character", (2,)), ("dialogue", (1, 2))])
def test_a_shift_of_one_factor_keeps_the_rest(name, given):
    worlds = sample(name)
    if name == "dialogue":
        np.testing.assert_allclose(worlds["p_x"].sum(3), worlds["q_x"].sum(3), atol=1e-12)
    else:
        kept, shifted = conditional(worlds["p_x"], given), conditional(worlds["q_x"], given)
        np.testing.assert_allclose(kept, shifted, atol=1e-9)


def test_a_mild_tilt_is_mild_and_consistent_conditionals_are_consistent():
    mild = sample("mild_tilt")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(mild["q_x"] / mild["p_x"]).reshape(200, -1)
    assert np.all(np.nanmax(ratio, axis=1) - np.nanmin(ratio, axis=1) <= 1 + 1e-9)
    blocks = sample("consistent")
    for axis in (1, 2, 3):
        p, q = conditional(blocks["p_x"], (axis,)), conditional(blocks["q_x"], (axis,))
        np.testing.assert_allclose(p, q, atol=1e-9)


def test_alphabets_have_the_sizes_they_are_said_to_have():
    worlds = sample("many_users", 500)
    users = (worlds["p_x"].sum((2, 3)) + worlds["q_x"].sum((2, 3)) > 0).sum(1)
    assert (users.min(), users.max()) == (8, 20)
    replies = (worlds["theta"].max((1, 2, 3)) > 0).sum(1)
    assert (replies.min(), replies.max()) == (2, 12)


def test_the_laws_are_dirichlet_of_the_concentrations_they_are_said_to_have():
    """The first coordinate's second moment over 20,000 draws: E 2-letter Dirichlet(a) p^2 = (a + 1)/(2 (2a + 1))."""
    rng = np.random.default_rng(0)
    from remid_jax.theory.worlds.scenarios import _dirichlet

    with jax.enable_x64(True):
        p = np.asarray(softmax(jax.numpy.asarray(_dirichlet(rng, np.ones((20_000, 2), bool))), (1,)))[:, 0]
    a = np.exp(np.linspace(np.log(0.1), np.log(10), 100_001))
    expected = np.mean((a + 1) / (2 * (2 * a + 1)))
    assert np.mean(p**2) == pytest.approx(expected, abs=4 * np.std(p**2) / np.sqrt(20_000))
    assert np.mean(p) == pytest.approx(0.5, abs=4 * np.std(p) / np.sqrt(20_000))
