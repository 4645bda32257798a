"""Attribution on samples: exact where the factors are discrete, nothing above chance where nothing shifts."""

import math

import jax
import numpy as np
import plain_worlds
import pytest
from plain_worlds import one_hot

from remid_jax.information.intervals import Resampling
from remid_jax.information.score_table import FACTORS
from remid_jax.shifts.attribution import NAMES, WHOLE, compare, features_of, increments, layered_section, section


def pair_of(values, lineages, seed=0):
    """`values` {factor: (values of P, values of Q)} as one-hot features."""
    features = [{}, {}]
    for factor, (of_p, of_q) in values.items():
        rows = one_hot(np.concatenate([of_p, of_q]))
        features[0][factor], features[1][factor] = rows[: len(of_p)], rows[len(of_p) :]
    resampling = Resampling.of({"P": lineages[0], "Q": lineages[1]}, 0, 0).for_pairs(
        {"P": lineages[0], "Q": lineages[1]}, {"Q": "P"}
    )
    return compare(tuple(features), lineages, resampling, seed)


def own_lineages(n):
    return np.array([f"p{i:02d}" for i in range(n)]), np.array([f"q{i:02d}" for i in range(n)])


def counts(rows):
    return {row: rows.count(row) / len(rows) for row in set(rows)}


def draw(rng, n, user_shift):
    """Users shift, characters follow the user, dialogues are anybody's."""
    users = [rng.choice(3, n, p=law) for law in ((0.6, 0.3, 0.1), user_shift)]
    characters = [(of + rng.integers(0, 2, n)) % 3 for of in users]
    return {"user": tuple(users), "character": tuple(characters), "dialogue": tuple(rng.integers(0, 2, n) for _ in range(2))}


def test_on_discrete_factors_everything_is_the_plug_in_divergence_of_counts():
    rng = np.random.default_rng(0)
    n = 24
    values = draw(rng, n, (0.1, 0.3, 0.6))
    found = pair_of(values, own_lineages(n))
    of = {}
    for subset in NAMES:
        sides = [list(zip(*(values[FACTORS[f]][side].tolist() for f in subset), strict=True)) for side in (0, 1)]
        of[subset] = plain_worlds.js(*map(counts, sides))
        assert found.representation[subset].values[0] == pytest.approx(of[subset], abs=1e-9)
    # a replicate is the divergence without that lineage
    kept = np.arange(n) != 3
    without = plain_worlds.js(counts(values["user"][0][kept].tolist()), counts(values["user"][1].tolist()))
    place = 1 + list(found.resampling.lineages).index("p03")
    assert found.representation[(0,)].values[place] == pytest.approx(without, abs=1e-9)
    told = section(found, 0.95)
    for order, added in told["cascade"].items():
        names = order.split(", ")
        assert sum(number["value"] for number in added.values()) == pytest.approx(of[WHOLE], abs=1e-9)
        assert added[names[0]]["value"] == pytest.approx(of[(FACTORS.index(names[0]),)], abs=1e-9)
        assert min(number["value"] for number in added.values()) >= -1e-10
    total = sum(share["sum"]["value"] for share in told["shapley"].values())
    assert total == pytest.approx(of[WHOLE], abs=1e-9)
    assert told["underpowered"] is True
    assert told["texts"] == n


def test_a_user_shift_is_blamed_on_users_and_no_shift_on_nobody():
    rng = np.random.default_rng(1)
    n = 60
    shifted = section(pair_of(draw(rng, n, (0.02, 0.08, 0.9)), own_lineages(n)), 0.95)
    assert shifted["of"]["user+character+dialogue"]["p_value"] < 0.02
    assert shifted["of"]["user"]["classifier_p_value"] < 0.02
    assert shifted["of"]["user"]["classifier"]["value"] > 0.1
    assert shifted["of"]["dialogue"]["p_value"] > 0.05
    assert shifted["shares"]["user"] > 0.5
    assert shifted["shares"]["dialogue"] < 0.1
    assert sum(shifted["shares"].values()) == pytest.approx(1)
    assert shifted["underpowered"] is False
    still = section(pair_of(draw(rng, n, (0.6, 0.3, 0.1)), own_lineages(n)), 0.95)
    assert still["shares"] == {"reason": "the joint divergence is not above chance"}


def test_the_larger_estimate_stands_in_for_the_divergence():
    rng = np.random.default_rng(2)
    n = 40
    found = pair_of(draw(rng, n, (0.0, 0.0, 1.0)), own_lineages(n))
    best = max(float(of.values[0]) for subset in NAMES for of in (found.excess(subset), found.classifier(subset)))
    assert found.divergence().values[0] == pytest.approx(min(best, math.log(2)))
    assert 0.2 < best < math.log(2)


def test_the_layers_of_a_sample_tell_what_the_policy_is_sensitive_to():
    """g depends on the user alone, and users alone shift: e sums to the exact gap, B stands above chance for users only."""
    rng = np.random.default_rng(3)
    n = 80
    values = draw(rng, n, (0.05, 0.15, 0.8))
    values["character"] = tuple(rng.integers(0, 3, n) for _ in range(2))
    found = pair_of(values, own_lineages(n))
    of_user = np.array([1.0, 0.0, -2.0])
    g = np.concatenate([of_user[side] for side in values["user"]]) + 0.05 * rng.normal(size=2 * n)
    variance = found.mean_of((g - g.mean()) ** 2)
    told = layered_section(found, g, variance, 0.95)
    gap = g[:n].mean() - g[n:].mean()
    assert sum(of["signed"]["value"] for of in told.values()) == pytest.approx(gap, abs=1e-9)
    assert told["user"]["signed"]["value"] == pytest.approx(gap, rel=0.1)
    assert told["user"]["p_value"] < 0.02
    assert told["user"]["bound"]["value"] > 3 * told["user"]["null"]
    # the exact layered term of users, from the counts
    laws = [np.bincount(side, minlength=3) / n for side in values["user"]]
    m, s = sum(laws) / 2, (laws[0] - laws[1]) / sum(laws)
    exact = 2 * math.sqrt((m @ (of_user - m @ of_user) ** 2) * (m @ s**2))
    assert told["user"]["bound"]["value"] == pytest.approx(exact, rel=0.15)
    for factor in ("character", "dialogue"):
        assert told[factor]["bound"]["value"] < 0.3 * exact


def test_features_are_standardised_over_all_categories_together():
    rng = np.random.default_rng(4)
    embedded = {name: {factor: rng.normal(size=(5, 3)) for factor in FACTORS} for name in ("A", "B", "C")}
    found = features_of(embedded)
    for factor in FACTORS:
        rows = np.concatenate([embedded[name][factor] for name in embedded])
        scaled = (rows - rows.mean(0)) / rows.std(0)
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        np.testing.assert_allclose(np.concatenate([found[name][factor] for name in embedded]), scaled, atol=1e-12)


def test_categories_of_dials_are_standardised_as_the_others_are_and_change_them_in_nothing():
    rng = np.random.default_rng(4)
    embedded = {name: {factor: rng.normal(size=(5, 3)) for factor in FACTORS} for name in ("A", "B")}
    alone = features_of(embedded)
    dial = {"dial": {factor: 9 + rng.normal(size=(5, 3)) for factor in FACTORS}}
    found = features_of(embedded | dial, ("dial",))
    for factor in FACTORS:
        for name in embedded:
            np.testing.assert_array_equal(found[name][factor], alone[name][factor])
        rows = np.concatenate([embedded[name][factor] for name in embedded])
        scaled = (dial["dial"][factor] - rows.mean(0)) / rows.std(0)
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        np.testing.assert_allclose(found["dial"][factor], scaled, atol=1e-12)


def test_increments_name_every_order_and_sum_to_the_whole():
    resampling = Resampling.of({"P": np.array(["a", "b"])}, 0, 0)
    rng = np.random.default_rng(5)
    of = {subset: resampling.constant(float(rng.uniform())) for subset in NAMES}
    found = increments(of)
    assert len(found) == 6
    for added in found.values():
        assert sum(quantity.values[0] for quantity in added.values()) == pytest.approx(of[WHOLE].values[0])
    assert not jax.config.jax_enable_x64
