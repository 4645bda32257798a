"""The worlds that decide come out as docs/theory.md, section 1, says, thresholds included."""

import functools

import jax
import numpy as np
import pytest

from remid_jax.theory.bounds.on_worlds import CERTIFIED, every_bound, published, violated
from remid_jax.theory.divergences import entropy, js
from remid_jax.theory.worlds import known, quantities
from remid_jax.theory.worlds.world import KERNELS, LAWS, World


@functools.cache
def compiled():
    return jax.jit(every_bound)


def bounds_of(world):
    with jax.enable_x64(True):
        return {name: float(value) for name, value in compiled()(world).items()}


def with_room(world, shape):
    """The world with contexts that never occur, up to a shape: worlds of one shape share a compiled program."""
    room = [(0, wanted - size) for wanted, size in zip(shape, world.p_x.shape, strict=True)]
    laws = {law: np.pad(getattr(world, law), room) for law in LAWS}
    return World(**laws, **{kernel: np.pad(getattr(world, kernel), [*room, (0, 0)], mode="edge") for kernel in KERNELS})


def fails(world, bound="published"):
    found = bounds_of(world)
    return bool(violated(np.array([found["emid"]]), np.array([found[bound]]))[0])


def test_w1_a_pure_user_shift_shifts_the_users_of_a_character():
    world = known.w1()
    for law, users in ((world.p_x, (0.778, 0.222)), (world.q_x, (0.969, 0.031))):
        np.testing.assert_allclose(law[:, 0, 0] / law[:, 0, 0].sum(), users, atol=5e-4)
        np.testing.assert_allclose(law.sum(2) / law.sum((1, 2))[:, None], [[0.7, 0.3], [0.2, 0.8]], atol=1e-12)
    assert world.p_x.shape[2] == 1  # the dialogue is constant, so D_JS(d) = 0


def test_w2_two_blocks_pass_the_published_bound():
    found = bounds_of(known.w2())
    assert found["emid"] == pytest.approx(0.2 * np.log(2), abs=1e-12)
    assert found["emid"] == pytest.approx(0.13863, abs=5e-6)
    assert found["published"] == pytest.approx(0.12016, abs=5e-6)
    assert found["emid"] / found["published"] == pytest.approx(1.1537, abs=5e-5)
    # with max h_theta + max h_* in place of the max of their sum the same formula holds
    assert 2 * found["published"] == pytest.approx(0.2403, abs=5e-5)
    assert fails(known.w2())
    assert not any(fails(known.w2(), name) for name in CERTIFIED)


@pytest.mark.parametrize(("first_broken", "new_reply"), [(1480, True), (1469, False)])
def test_w3_one_sided_breaks_the_published_bound(first_broken, new_reply):
    emid, bound = emid_and_published(known.w3(first_broken, new_reply))
    assert emid == pytest.approx(np.log(first_broken), abs=1e-9)
    assert bound < np.log(first_broken)
    emid, bound = emid_and_published(known.w3(first_broken - 1, new_reply))
    assert bound >= emid


def test_w3_with_separate_roots_in_the_delta_term_breaks_at_36():
    for n, broken in ((35, False), (36, True)):
        outputs = quantities_of(known.w3(n, new_reply=False)).outputs
        with jax.enable_x64(True):
            roots = js(outputs.p_theta, outputs.p_golden) ** 0.25 + js(outputs.q_theta, outputs.q_golden) ** 0.25
        assert bool(np.log(n) > 4 * float(roots)) is broken


def quantities_of(world):
    with jax.enable_x64(True):
        return jax.jit(quantities)(world)


@jax.jit
def _emid_and_published(world):
    of = quantities(world)
    return of.emid, published(of).value


def emid_and_published(world):
    with jax.enable_x64(True):
        return tuple(map(float, _emid_and_published(world)))


def test_w4_two_sided_breaks_it_at_73_and_the_information_bound_holds_by_a_hair():
    for n, emid, formula in ((72, 8.5533, 8.5635), (73, 8.5809, 8.5648), (100, 9.2103, 8.5915)):
        assert emid_and_published(known.w4(n)) == pytest.approx((emid, formula), abs=5e-5)
    found = bounds_of(known.w4(73))
    assert found["emid"] <= found["information"] + 1e-9
    assert found["information"] / found["emid"] - 1 < 3e-4


def test_w5_the_entropy_lemma_fails_from_31_letters_on():
    with jax.enable_x64(True):
        for n, e, gap, limit in ((31, 0.8647, 3.29107, 3.28937), (40, 0.8733, 3.5396, 3.3155)):
            p, q = map(jax.numpy.asarray, known.w5(n, e))
            assert abs(float(entropy(p) - entropy(q))) == pytest.approx(gap, abs=5e-5)
            assert 4 * float(js(p, q)) ** 0.25 == pytest.approx(limit, abs=5e-5)
        # with 30 letters no e breaks it
        e = np.linspace(0.5, 0.999, 2000)[:, None]
        p = np.eye(30)[0]
        p, q = jax.numpy.asarray(p), jax.numpy.asarray((1 - e) * p + e / 30)
        assert np.all(np.asarray(entropy(q)) <= 4 * np.asarray(js(p, q)) ** 0.25)


def test_w8_a_permutation_of_contexts_has_emi_unless_they_are_equally_likely():
    assert float(quantities_of(known.w8_contexts()).emi_p) == pytest.approx(-0.1017, abs=5e-5)
    assert float(quantities_of(known.w8_replies()).emi_p) == pytest.approx(0, abs=1e-12)


def test_w10_a_shift_of_composition_is_invisible_to_the_published_bound():
    world = with_room(known.w10(), known.w2().p_x.shape)
    found = bounds_of(world)
    assert found["emid"] == pytest.approx(2 * np.log(2), abs=1e-12)
    assert found["published"] == pytest.approx(0, abs=1e-12)
    assert fails(world)
    assert not any(fails(world, name) for name in CERTIFIED)
