"""Layers, cascades and shares against conditional expectations taken by plain loops; they sum to the whole."""

import functools
import itertools

import jax
import numpy as np
import plain_worlds
import pytest

from remid_jax.theory.bounds.layered import ORDERS, factor_divergences, layers, shapley
from remid_jax.theory.worlds import from_arrays, quantities


@functools.cache
def compiled():
    def of_world(world):
        of = quantities(world)
        found = layers(of)
        return of, found, found.bound, factor_divergences(of)

    return jax.jit(of_world)


def layers_of(arrays):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled()(from_arrays({name: a[None] for name, a in arrays.items()})[0]))


def given(law, values, kept):
    """E[values | the factors in `kept`] at every context, by grouping contexts in a dictionary."""
    contexts = list(itertools.product(*map(range, law.shape)))
    weight, total = {}, {}
    for x in contexts:
        key = tuple(x[axis] for axis in kept)
        weight[key] = weight.get(key, 0) + law[x]
        total[key] = total.get(key, 0) + law[x] * values[x]
    found = np.zeros(law.shape)
    for x in contexts:
        key = tuple(x[axis] for axis in kept)
        found[x] = total[key] / weight[key] if weight[key] else 0
    return found


@pytest.mark.parametrize("zeros", [False, True])
def test_layers_are_those_of_plain_loops_in_all_orders(zeros):
    arrays = plain_worlds.random_world(np.random.default_rng(3), zeros=zeros)
    of, found, _bound, of_factors = layers_of(arrays)
    m = (arrays["p_x"] + arrays["q_x"]) / 2
    for number, order in enumerate(itertools.permutations(range(3))):
        assert order == ORDERS[number]
        for turn, factor in enumerate(order):
            now, before = order[: turn + 1], order[:turn]
            dg = given(m, of.g, now) - given(m, of.g, before)
            ds = given(m, of.s, now) - given(m, of.s, before)
            assert found.variance[number, factor] == pytest.approx((m * dg**2).sum(), abs=1e-12)
            assert found.tilt[number, factor] == pytest.approx((m * ds**2).sum(), abs=1e-12)
            assert found.signed[number, factor] == pytest.approx(2 * (m * dg * ds).sum(), abs=1e-12)
            js = [
                plain_worlds.js(*(plain_worlds.factor_law(arrays[law], sorted(kept)) for law in ("p_x", "q_x"))) if kept else 0
                for kept in (now, before)
            ]
            assert found.divergence[number, factor] == pytest.approx(js[0] - js[1], abs=1e-12)
    for factor in range(3):
        laws = (plain_worlds.factor_law(arrays[law], (factor,)) for law in ("p_x", "q_x"))
        assert of_factors[factor] == pytest.approx(plain_worlds.js(*laws), abs=1e-12)


def test_on_a_thousand_worlds_increments_are_not_negative_and_sums_are_whole():
    rng = np.random.default_rng(0)
    drawn = [plain_worlds.random_world(rng, zeros=seed % 2 == 1) for seed in range(1000)]
    with jax.enable_x64(True):
        worlds = from_arrays({name: np.stack([world[name] for world in drawn]) for name in drawn[0]})
        of, found, bound, _of_factors = jax.tree.map(np.asarray, jax.vmap(compiled())(worlds))
        shared = {name: np.asarray(jax.vmap(shapley)(getattr(found, name))) for name in ("divergence", "signed")}
    assert found.divergence.min() >= -1e-14
    assert found.variance.min() >= 0
    variance = [(m * (g - (m * g).sum()) ** 2).sum() for m, g in zip(of.m, of.g, strict=True)]
    tilt = [(m * s**2).sum() for m, s in zip(of.m, of.s, strict=True)]
    signed = [((p - q) * g).sum() for p, q, g in zip(of.p, of.q, of.g, strict=True)]
    for name, whole in (("divergence", of.js_x), ("variance", variance), ("tilt", tilt), ("signed", signed)):
        values = getattr(found, name)
        assert values.shape == (1000, 6, 3)
        np.testing.assert_allclose(values.sum(2), np.repeat(np.array(whole)[:, None], 6, 1), atol=1e-10, err_msg=name)
        if name in shared:
            np.testing.assert_allclose(shared[name].sum(1), whole, rtol=0, atol=1e-10)
    assert np.all(np.abs(found.signed) <= bound + 1e-12)
    # sqrt(8 V J) >= 2 sqrt(V v), because psi'' >= 1
    assert np.all(bound <= np.sqrt(8 * found.variance * np.maximum(found.divergence, 0)) + 1e-12)


def test_a_pure_user_shift_is_seen_first_by_users():
    arrays = plain_worlds.random_world(np.random.default_rng(5))
    rest = arrays["p_x"] / arrays["p_x"].sum((1, 2), keepdims=True)
    arrays["q_x"] = np.array([0.9, 0.1])[:, None, None] * rest
    _, found, *_ = layers_of(arrays)
    for number, order in enumerate(ORDERS):
        if order[0] == 0:
            np.testing.assert_allclose(found.divergence[number, 1:], 0, atol=1e-12)
            np.testing.assert_allclose(found.signed[number, 1:], 0, atol=1e-12)
