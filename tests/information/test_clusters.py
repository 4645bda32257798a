"""Clusters of several kinds: variances by hand and by brute force, and exactly one kind's numbers where there is but one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from score_arrays import score_arrays, without

from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimate
from remid_jax.information.clusters import all_cells, components
from remid_jax.information.identification import identified
from remid_jax.information.intervals import Resampling, average, difference, interval, ratio
from remid_jax.information.score_arrays import flatten, parse

USERS, CHARACTERS = 6, 4


def crossed(users=USERS, characters=CHARACTERS):
    """Lineages, and the clusters of each kind, of one record a pair."""
    user = np.repeat([f"u{i}" for i in range(users)], characters)
    character = np.tile([f"c{i}" for i in range(characters)], users)
    return np.char.add(user, character), {"user": user, "character": character}


def resampling_of(lineage, clusters):
    return Resampling.of({"A": lineage}, 0, 0, {"A": clusters})


def mean_of(resampling, lineage, values):
    weights = resampling.weights(lineage)
    return resampling.replicates([(weights @ values / weights.sum(axis=1), lineage)])


def bounds(quantity, estimator="mean", level=0.95):
    found = interval(quantity, estimator, level)
    return found["low"], found["high"]


def squared(values):
    """The squared standard error of a mean of independent values."""
    return values.var(ddof=1) / len(values)


def test_the_variance_of_a_two_way_mean_is_that_of_users_and_of_characters_minus_that_of_pairs():
    lineage, clusters = crossed()
    values = np.random.default_rng(0).normal(size=(USERS, CHARACTERS))
    values += 2 * np.arange(USERS)[:, None] + 3 * np.arange(CHARACTERS)
    quantity = mean_of(resampling_of(lineage, clusters), lineage, values.ravel())
    variance = squared(values.mean(axis=1)) + squared(values.mean(axis=0)) - squared(values.ravel())
    assert variance > max(squared(values.mean(axis=1)), squared(values.mean(axis=0)))
    expected = stats.t.interval(0.95, CHARACTERS - 1, loc=values.mean(), scale=np.sqrt(variance))
    assert bounds(quantity) == pytest.approx(expected, rel=1e-12)
    found = interval(quantity, "mean", 0.95)
    assert (found["clusters"], found["kinds"]) == (CHARACTERS, {"user": USERS, "character": CHARACTERS})


def test_a_sum_below_one_kind_alone_gives_way_to_that():
    lineage, clusters = crossed()
    values = np.random.default_rng(1).normal(size=(USERS, CHARACTERS))
    values -= values.mean(axis=1, keepdims=True) + values.mean(axis=0)  # pairs differ, users and characters do not
    values += 0.05 * np.arange(USERS)[:, None]
    of_users, of_characters = squared(values.mean(axis=1)), squared(values.mean(axis=0))
    assert of_users + of_characters - squared(values.ravel()) < 0
    quantity = mean_of(resampling_of(lineage, clusters), lineage, values.ravel())
    scale = np.sqrt(max(of_users, of_characters))
    expected = stats.t.interval(0.95, CHARACTERS - 1, loc=values.mean(), scale=scale)
    assert bounds(quantity) == pytest.approx(expected, rel=1e-9)


def by_deleting(values, lineage, clusters, kinds):
    """The jackknife's variance of a ratio of sums, deleting one cell of these kinds at a time, in loops."""
    cells = [tuple(clusters[kind][i] for kind in kinds) for i in range(len(lineage))]
    estimates = []
    for cell in sorted(set(cells)):
        kept = [i for i, other in enumerate(cells) if other != cell]
        estimates.append(values[0][kept].sum() / values[1][kept].sum() - values[2][kept].mean())
    count = len(estimates)
    return (count - 1) / count * sum((of - sum(estimates) / count) ** 2 for of in estimates)


@pytest.mark.parametrize("seed", range(4))
def test_differences_and_ratios_over_three_kinds_are_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = 40
    clusters = {name: np.array([f"{name}{i}" for i in rng.integers(0, count, n)]) for name, count in
                (("user", 8), ("character", 5), ("day", 6))}  # fmt: skip
    lineage = np.array([f"r{i}" for i in range(n)])
    effects = sum(rng.normal(size=9)[np.unique(of, return_inverse=True)[1]] for of in clusters.values())
    values = [effects + rng.normal(size=n), 5 + rng.random(n), rng.normal(size=n)]
    resampling = resampling_of(lineage, clusters)
    parts = [mean_of(resampling, lineage, of) for of in values]
    quantity = difference(ratio(*parts[:2]), parts[2])
    kinds = sorted(clusters)
    sets = [of for size in (1, 2, 3) for of in itertools.combinations(kinds, size)]
    variances = {of: by_deleting(values, lineage, clusters, of) for of in sets}
    total = sum((-1) ** (len(of) + 1) * variance for of, variance in variances.items())
    variance = max(total, *(variances[(kind,)] for kind in kinds))
    expected = stats.t.interval(0.95, 4, loc=quantity.values[0], scale=np.sqrt(variance))
    assert bounds(quantity) == pytest.approx(expected, rel=1e-9)


def test_categories_that_share_users_keep_their_covariance():
    """The same user in both categories cancels in a difference; characters are each category's own."""
    lineage, clusters = crossed()
    own = {name: {**clusters, "character": np.char.add(name, clusters["character"])} for name in ("A", "B")}
    lineages = {name: np.char.add(name, lineage) for name in own}
    resampling = Resampling.of(lineages, 0, 0, own)
    rng = np.random.default_rng(2)
    of_user, noise = 9 * rng.normal(size=(USERS, 1)), rng.normal(size=(2, USERS, CHARACTERS))
    means = [mean_of(resampling, lineages[name], (of_user + noise[i]).ravel()) for i, name in enumerate(own)]
    gap = noise[0] - noise[1]
    found = difference(*means)
    assert interval(found, "mean", 0.95)["kinds"] == {"user": USERS, "character": 2 * CHARACTERS}
    deleted = {
        "user": [np.delete(gap, i, axis=0).mean() for i in range(USERS)],
        "character": [np.delete(noise[0], i, axis=1).mean() - noise[1].mean() for i in range(CHARACTERS)]
        + [noise[0].mean() - np.delete(noise[1], i, axis=1).mean() for i in range(CHARACTERS)],
    }
    for deletions in found.deletions:
        if len(deletions.kinds) == 1:
            values = found.values[1:][deletions.places]
            assert values == pytest.approx(deleted[deletions.kinds[0]], abs=1e-12)
    assert average([found, found]).values == pytest.approx(found.values)


@given(st.integers(0, 10**6), st.permutations(range(USERS * CHARACTERS)))
@settings(max_examples=30, deadline=None)
def test_the_order_of_records_and_names_of_clusters_do_not_matter(seed, order):
    lineage, clusters = crossed()
    values = np.random.default_rng(seed).normal(size=len(lineage))
    expected = interval(mean_of(resampling_of(lineage, clusters), lineage, values), "mean", 0.95)
    order = np.array(order)
    renamed = {kind: np.char.add("of ", of[order]) for kind, of in reversed(clusters.items())}
    found = interval(mean_of(resampling_of(lineage[order], renamed), lineage[order], values[order]), "mean", 0.95)
    assert found["kinds"] == expected["kinds"]
    assert (found["low"], found["high"]) == pytest.approx((expected["low"], expected["high"]), rel=1e-9)


def test_cells_of_nested_kinds_cancel_and_crossed_ones_stay():
    lineage, clusters = crossed()
    weights = {of.kinds: of.weight for of in all_cells({**clusters, "dialogue": lineage})}
    assert weights == {("user",): 1, ("character",): 1, ("dialogue",): -1}  # a dialogue is a pair: its variance is subtracted
    assert [of.kinds for of in all_cells({"user": clusters["user"], "dialogue": lineage})] == [("user",)]
    assert [of.kinds for of in all_cells({"dialogue": lineage, "twin": lineage, "user": clusters["user"]})] == [("user",)]
    assert {of.kinds: of.weight for of in all_cells(clusters)} == {("user",): 1, ("character",): 1, ("user", "character"): -1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12, unique=True))
@settings(max_examples=60, deadline=None)
def test_groups_share_no_cluster_and_cannot_be_divided(pairs):
    clusters = {"a": np.array([f"a{a}" for a, _ in pairs]), "b": np.array([f"b{b}" for _, b in pairs])}
    group = components(clusters)
    linked = [{k for k, other in enumerate(pairs) if a == other[0] or b == other[1]} for a, b in pairs]
    reached = linked
    for _ in pairs:  # by hand: whoever shares a user or a character, again and again
        reached = [set().union(*(linked[j] for j in of)) for of in reached]
    assert [{k for k in range(len(pairs)) if group[k] == group[i]} for i in range(len(pairs))] == reached


def lean(arrays):
    return without(arrays, "/self/", "/reasoned/", "golden_half", "constant")


def crossed_arrays(users=6, characters=4):
    lineage, clusters = crossed(users, characters)
    arrays = lean(score_arrays(dict.fromkeys(("IDTest", "german"), len(lineage))))
    for category in ("IDTest", "german"):
        arrays[f"{category}/lineage"] = lineage
        arrays |= {f"{category}/cluster/{kind}": of for kind, of in clusters.items()}
    return arrays


def without_counts(found):
    for category in found["categories"].values():
        del category["lineages"]
        category.pop("clusters", None)
    return found


def test_one_kind_or_nested_ones_give_exactly_the_numbers_of_a_lineage():
    user = np.array([f"user {i}" for i in range(6)])[np.arange(12) % 6]
    plain = lean(score_arrays({"IDTest": 12, "german": 12}))
    one_way, one_kind, nested = dict(plain), dict(plain), dict(plain)
    for category in ("IDTest", "german"):
        one_way[f"{category}/lineage"] = user
        one_kind[f"{category}/cluster/user"] = user
        nested |= {f"{category}/cluster/user": user, f"{category}/cluster/dialogue": plain["IDTest/lineage"]}
    expected = without_counts(estimate(one_way))
    assert without_counts(estimate(one_kind)) == expected
    assert without_counts(estimate(nested)) == expected


def test_a_table_of_crossed_clusters_has_intervals_over_both_and_says_how_many():
    arrays = crossed_arrays()
    found = estimate(arrays)
    category = found["categories"]["german"]
    assert (category["lineages"], category["clusters"]) == (24, {"character": 4, "user": 6})
    told = category["plain"]["emid"]["club"]["response"]["interval"]
    assert (told["clusters"], told["kinds"], told["validated"]) == (4, {"character": 4, "user": 6}, False)
    again = flatten(parse(arrays))
    assert set(again) == set(arrays)
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


def reasons(tree):
    """Every interval of a result that has no ends."""
    if isinstance(tree, dict):
        if "low" in tree and tree["low"] is None:
            yield tree.get("reason")
        if tree.get("interval", 0) is None:
            yield tree.get("reason")
        for value in tree.values():
            yield from reasons(value)


def test_every_missing_interval_has_a_reason():
    found = set(reasons(estimate(crossed_arrays(characters=1))))
    assert "an interval needs two clusters of the kind 'character', or lineages that do not name it" in found
    assert None not in found
    one = crossed_arrays()
    one = {name: array for name, array in one.items() if "/cluster/" not in name}
    one |= {f"{category}/lineage": np.full(24, "all") for category in ("IDTest", "german")}
    assert None not in set(reasons(estimate(one)))


FAULTS = {
    "another kind": (
        lambda arrays: arrays.pop("german/cluster/user"),
        "german/cluster/ has the kinds character, IDTest/cluster/ character, user",
    ),
    "torn lineage": (
        lambda arrays: arrays.update({"german/cluster/user": arrays["german/cluster/user"][::-1].copy()}),
        "lineage 'u0c0' lies in 'u0' and 'u5' of cluster/user",
    ),
    "wrong shape": (
        lambda arrays: arrays.update({"german/cluster/user": np.array(["u0"])}),
        "german/cluster/user has shape [1], expected [24]",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_clusters_at_fault_are_refused(name):
    break_it, message = FAULTS[name]
    arrays = crossed_arrays()
    break_it(arrays)
    with pytest.raises(UserError) as caught:
        parse(arrays)
    assert message in str(caught.value)


def test_replies_are_traced_with_offsets_of_unrelated_records_alone():
    lineage, clusters = crossed(3, 3)
    rng = np.random.default_rng(3)
    rates, weights = rng.normal(size=(9, 9)), np.ones((1, 9))
    found = identified(rates, np.stack(list(clusters.values())), weights)[0]
    right = []
    for i in range(9):
        apart = [k for k in range(9) if all(of[k] != of[i] for of in clusters.values())]
        advantage = rates[:, i] - rates[:, apart].mean(axis=1)
        right += [advantage[i] > advantage[j] for j in range(9) if j != i]
    assert found == pytest.approx(np.mean(right))
    assert found != identified(rates, lineage, weights)[0]
