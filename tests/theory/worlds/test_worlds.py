"""Exact quantities against plain loops, the identities they obey, and which worlds are refused."""

import functools

import jax
import numpy as np
import plain_worlds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.parallel import Devices
from remid_jax.theory.worlds import World, from_arrays, in_blocks, quantities, to_arrays


def batch_of(*worlds):
    return from_arrays({name: np.stack([world[name] for world in worlds]) for name in worlds[0]})


def quantities_of(world):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled()(batch_of(world)[0]))


@functools.cache
def compiled():
    return jax.jit(quantities)


@pytest.mark.parametrize("concept", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_quantities_are_those_of_plain_loops(seed, concept, zeros):
    world = plain_worlds.random_world(np.random.default_rng(seed), concept=concept, zeros=zeros)
    found = quantities_of(world)
    p, q = plain_worlds.law_of(world["p_x"]), plain_worlds.law_of(world["q_x"])
    assert found.js_x == pytest.approx(plain_worlds.js(p, q), abs=1e-12)
    assert found.tv_x == pytest.approx(sum(abs(p[x] - q[x]) for x in p) / 2, abs=1e-12)
    assert found.emid == pytest.approx(plain_worlds.emid(world), abs=1e-12)
    joints = [plain_worlds.joint(world[law], world[kernel]) for law, kernel in (("p_x", "p_y"), ("q_x", "q_y"))]
    assert found.js_xy == pytest.approx(plain_worlds.js(*joints), abs=1e-12)
    outputs = [plain_worlds.marginal(plain_worlds.joint(world[law], world["theta"]))[1] for law in ("p_x", "q_x")]
    for got, want in zip((found.outputs.p_theta, found.outputs.q_theta), outputs, strict=True):
        np.testing.assert_allclose(got, list(want.values()), atol=1e-12)
    middle = {y: (outputs[0][y] + outputs[1][y]) / 2 for y in outputs[0]}
    for x in p:
        kernel = dict(enumerate(world["theta"][x]))
        assert found.g_theta[x] == pytest.approx(plain_worlds.kl(kernel, middle) if p[x] + q[x] else 0, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_emid_is_the_shift_of_g_and_the_output_term_exactly(seed, concept, zeros):
    found = quantities_of(plain_worlds.random_world(np.random.default_rng(seed), concept=concept, zeros=zeros))
    shift = ((found.p - found.q) * found.g).sum()
    assert shift + found.output + found.concept == pytest.approx(found.emid, abs=1e-10)
    if not concept:
        assert found.concept == 0
        assert found.js_xy == pytest.approx(found.js_x, abs=1e-12)


def test_gradients_are_those_of_finite_differences_and_finite_at_zeros():
    world = batch_of(plain_worlds.random_world(np.random.default_rng(1), zeros=True))[0]
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda w: quantities(w).emid))(world)
        for name, array in to_arrays(world).items():
            got = np.asarray(getattr(slope, name))
            assert np.isfinite(got).all(), name
            for place in [(1, 2, 1), (0, 1, 0)]:
                values = []
                for step in (1e-6, -1e-6):
                    moved = array.copy()
                    moved[place] += step * (moved[place] > 0)
                    values.append(float(compiled()(World(**{**to_arrays(world), name: moved})).emid))
                assert got[place].sum() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6), (name, place)


def test_a_context_or_reply_that_never_occurs_changes_nothing():
    rng = np.random.default_rng(4)
    world = plain_worlds.random_world(rng, (2, 2, 2, 3))
    wider = {name: np.zeros((3, 2, 2)) for name in ("p_x", "q_x")} | {
        name: np.full((3, 2, 2, 4), 0.25) for name in ("p_y", "q_y", "theta")
    }
    for name, array in world.items():
        if array.ndim == 3:
            wider[name][:2] = array
        else:
            wider[name][:2, :, :, :3], wider[name][:2, :, :, 3] = array, 0
    small, large = quantities_of(world), quantities_of(wider)
    for name in ("emid", "emi_p", "emi_q", "output", "concept", "js_x", "tv_x"):
        assert getattr(large, name) == pytest.approx(getattr(small, name), abs=1e-12), name
    assert np.isfinite(large.g).all()


def test_arrays_survive_the_round_trip_and_blocks_do_not_matter():
    rng = np.random.default_rng(5)
    worlds = batch_of(*(plain_worlds.random_world(rng) for _ in range(7)))
    assert len(worlds) == 7
    for name, array in to_arrays(from_arrays(to_arrays(worlds))).items():
        np.testing.assert_allclose(array, getattr(worlds, name), rtol=1e-15)
    with jax.enable_x64(True):
        whole = in_blocks(lambda w: quantities(w).emid, worlds, Devices(), 7)
        calls = []
        parts = in_blocks(lambda w: quantities(w).emid, worlds, Devices(), 3, lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(whole, parts)
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_a_function_is_traced_once_on_devices_alike():
    worlds = batch_of(*(plain_worlds.random_world(np.random.default_rng(seed)) for seed in range(3)))
    traced = []

    def emid(world):
        traced.append(world)
        return quantities(world).emid

    with jax.enable_x64(True):
        np.testing.assert_array_equal(in_blocks(emid, worlds, Devices()), in_blocks(emid, worlds, Devices()))
        in_blocks(emid, worlds, Devices("pmap"))
    assert Devices() == Devices()
    assert Devices() != Devices("pmap")
    assert len(traced) == 2


def faulty(**changes):
    arrays = {name: np.stack([array] * 3) for name, array in plain_worlds.random_world(np.random.default_rng(0)).items()}
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def test_bad_worlds_are_refused_with_the_slice_named():
    good = faulty()

    def refusal(**changes):
        with pytest.raises(UserError) as caught:
            from_arrays(faulty(**changes), "W.npz")
        return str(caught.value)

    def changed(name, place, value):
        array = good[name].copy()
        array[place] = value
        return {name: array}

    assert "p_y[1, 0, 2, 1] sums to" in refusal(**changed("p_y", (1, 0, 2, 1), [0.5, 0.5, 0.5, 0.5]))
    assert "2, not 1" in refusal(**changed("p_y", (1, 0, 2, 1), [0.5, 0.5, 0.5, 0.5]))
    assert "theta[2, 1, 0, 0] has a negative" in refusal(**changed("theta", (2, 1, 0, 0), [-0.5, 0.5, 0.5, 0.5]))
    assert "q_x[0] is not finite" in refusal(**changed("q_x", (0, 1, 1, 1), np.nan))
    assert "p_x[2] sums to" in refusal(**changed("p_x", 2, 0.25))
    assert "q_x has shape [3, 2, 3, 1], but p_x [3, 2, 3, 2]" in refusal(q_x=good["q_x"][..., :1])
    assert "theta has shape [3, 2, 3, 2, 3], expected [3, 2, 3, 2, 4]" in refusal(theta=good["theta"][..., :3])
    assert "p_x has shape [2, 3, 2], expected [batch" in refusal(p_x=good["p_x"][0])
    assert "q_y is missing" in refusal(q_y=None)
    assert "prior is not one of" in refusal(prior=good["p_x"])
    assert "p_y holds <U1" in refusal(p_y=np.full((3, 2, 3, 2, 4), "x"))
    many = refusal(p_y=np.ones_like(good["p_y"]))
    assert "p_y[0, 0, 0, 0] sums to 4, not 1" in many
    assert "and 28 more" in many


def test_float32_worlds_are_taken_and_normalised():
    worlds = from_arrays({name: array.astype(np.float32) for name, array in faulty().items()})
    np.testing.assert_allclose(worlds.theta.sum(-1), 1, atol=1e-15)
    np.testing.assert_allclose(worlds.p_x.sum((1, 2, 3)), 1, atol=1e-15)
