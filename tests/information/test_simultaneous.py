"""Simultaneous intervals against t, Sidak's rule and samples drawn outright; what they find against noncentral t."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from remid_jax.information.intervals import Replicates, Resampling, difference, interval, standard_error
from remid_jax.information.simultaneous import band, common_level, directions, rank_sets, smallest_difference

FEW = 4_000  # draws, where the third digit does not matter


def means(columns, lineages=None) -> list[Replicates]:
    """The means of columns [n, m] as quantities; each row is a lineage of its own unless they are named."""
    names = [f"{row:03}" for row in range(len(columns))] if lineages is None else lineages
    resampling = Resampling.of({"": np.array(names)}, 0, 0)
    weights = resampling.weights(np.array(names))
    return [
        resampling.replicates([(weights @ column / weights.sum(axis=1), np.array(names))]) for column in np.transpose(columns)
    ]


def critical(each, degrees):
    return stats.t.ppf((1 + each) / 2, degrees)


def test_one_quantity_and_copies_of_it_have_the_interval_of_t():
    column = np.random.default_rng(0).normal(size=(9, 1))
    [alone] = means(column)
    low, high = stats.t.interval(0.9, 8, column.mean(), stats.sem(column[:, 0]))
    single = band([alone], 0.9)
    assert (single.low[0], single.high[0], single.each, single.cells) == (pytest.approx(low), pytest.approx(high), 0.9, 1)
    copies = band(means(column * np.array([1.0, -2.0, 5.0])), 0.9)
    assert copies.each == pytest.approx(0.9, abs=1e-9)
    assert copies.high[2] == pytest.approx(5 * high, abs=1e-6)
    assert copies.low[1] == pytest.approx(-2 * high, abs=1e-6)


@pytest.mark.parametrize(("count", "degrees"), [(2, 7), (12, 15), (36, 15)])
def test_independent_quantities_have_the_level_of_sidak_to_three_digits(count, degrees):
    each = common_level(np.eye(count), np.full(count, degrees), 0.95)
    assert critical(each, degrees) == pytest.approx(critical(0.95 ** (1 / count), degrees), abs=5e-3)


def test_with_other_degrees_of_freedom_each_quantity_keeps_its_own_t():
    degrees = np.array([5, 15, 31])
    each = common_level(np.eye(3), degrees, 0.95)
    np.testing.assert_allclose(critical(each, degrees), critical(0.95 ** (1 / 3), degrees), atol=1e-2)


def test_correlated_quantities_have_the_critical_value_of_samples_drawn_outright():
    rng, root = np.random.default_rng(1), np.linalg.cholesky(0.8 * np.ones((5, 5)) + 0.2 * np.eye(5))
    largest = []
    for _ in range(10):
        drawn = rng.standard_normal((8_000, 12, 5)) @ root.T
        largest.append(np.abs(drawn.mean(1) / stats.sem(drawn, axis=1)).max(1))
    each = common_level(root, np.full(5, 11), 0.95)
    assert critical(each, 11) == pytest.approx(np.quantile(np.concatenate(largest), 0.95), abs=0.03)
    assert critical(0.95, 11) + 0.2 < critical(each, 11) < critical(0.95**0.2, 11) - 0.2


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(2, 6))
def test_errors_and_correlations_are_those_of_means(seed, rows, count):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(rows, count)) @ rng.normal(size=(count, count))
    quantities = means(columns)
    rows = directions(quantities, np.ones(len(quantities), bool))
    np.testing.assert_allclose(rows @ rows.T, np.corrcoef(columns.T), atol=1e-6)
    np.testing.assert_allclose([standard_error(of) for of in quantities], stats.sem(columns), rtol=1e-9)


def test_quantities_of_other_lineages_are_independent_and_shared_ones_are_not():
    lineages = {"a": np.array(list("pqrs")), "b": np.array(list("tuvw")), "c": np.array(list("pqrs"))}
    resampling, rng = Resampling.of(lineages, 0, 0), np.random.default_rng(2)
    values = {"a": rng.normal(size=4), "b": rng.normal(size=4)}
    values["c"] = -values["a"]
    quantities = []
    for name, of in lineages.items():
        weights = resampling.weights(of)
        quantities.append(resampling.replicates([(weights @ values[name] / weights.sum(axis=1), of)]))
    rows = directions(quantities, np.ones(len(quantities), bool))
    np.testing.assert_allclose(rows @ rows.T, [[1, 0, -1], [0, 1, 0], [-1, 0, 1]], atol=1e-12)
    assert band(quantities, 0.95).each == pytest.approx(0.95**0.5, abs=3e-4)


def test_over_crossed_clusters_errors_are_those_of_the_single_intervals():
    rng = np.random.default_rng(3)
    pairs = list(itertools.product("abcd", "xyz"))
    clusters = {"user": np.array([a for a, _ in pairs]), "character": np.array([b for _, b in pairs])}
    names = np.array([a + b for a, b in pairs])
    resampling = Resampling.of({"": names}, 0, 0, {"": clusters})
    weights = resampling.weights(names)
    columns = rng.normal(size=(12, 3)) + rng.normal(size=(4, 3)).repeat(3, axis=0)
    quantities = [resampling.replicates([(weights @ column / weights.sum(axis=1), names)]) for column in columns.T]
    found = band(quantities, 0.9)
    for quantity, low, high in zip(quantities, found.low, found.high, strict=True):
        alone = interval(quantity, "mean", found.each)
        assert (low, high) == (pytest.approx(alone["low"]), pytest.approx(alone["high"]))
    assert 0.9 < found.each <= 1 - 0.1 / 3 + 1e-3


def test_quantities_that_do_not_vary_or_exist_cost_nothing():
    [quantity] = means(np.random.default_rng(4).normal(size=(6, 1)))
    still = quantity._replace(values=np.full(7, 2.0))
    absent = quantity._replace(values=np.full(7, np.nan))
    broken = quantity._replace(values=np.where(np.arange(7) == 3, np.nan, quantity.values))
    found = band([quantity, still, absent, broken], 0.95)
    assert (found.each, found.cells, found.low[1], found.high[1]) == (0.95, 1, 2.0, 2.0)
    assert np.isnan(found.low[2:]).all()
    assert np.isnan(found.high[2:]).all()
    assert np.isnan(standard_error(means(np.ones((1, 1)))[0]))


@pytest.mark.parametrize(("degrees", "each"), [(15, 0.95), (31, 0.999), (7, 0.99)])
def test_the_smallest_difference_that_a_table_states_is_found_by_80_percent_of_others(degrees, each):
    rng = np.random.default_rng(6)
    stated, theirs = (np.sqrt(rng.chisquare(degrees, 200_000) / degrees) for _ in range(2))
    sizes = 0.3 * stated * smallest_difference(1.0, degrees, each)
    estimates = sizes + 0.3 * rng.standard_normal(len(sizes))
    assert np.mean(estimates > critical(each, degrees) * 0.3 * theirs) == pytest.approx(0.8, abs=5e-3)


def test_with_many_degrees_of_freedom_it_is_the_sum_of_two_quantiles_and_without_an_error_there_is_none():
    expected = 2.0 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    assert smallest_difference(2.0, 100_000, 0.95) == pytest.approx(expected, rel=1e-3)
    assert smallest_difference(0.0, 15, 0.95) is None
    assert smallest_difference(float("nan"), 15, 0.95) is None
    assert smallest_difference(1.0, 1, 0.9999) is None


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 5), st.booleans())
def test_rank_sets_are_those_of_the_pairwise_intervals(seed, runs, larger_is_better):
    rng = np.random.default_rng(seed)
    quantities = dict(zip("abcde", means(rng.normal(size=(10, runs)) + rng.normal(0, 1, runs)), strict=False))
    found = rank_sets(quantities, 0.9, larger_is_better, FEW)
    pairs = list(itertools.combinations(quantities, 2))
    of_pairs = band([difference(quantities[a], quantities[b]) for a, b in pairs], 0.9, FEW)
    for run in quantities:
        above, below = 0, 0
        for (a, b), low, high in zip(pairs, of_pairs.low, of_pairs.high, strict=True):
            if run in (a, b) and not low <= 0 <= high:
                better = a if (low > 0) == larger_is_better else b
                above += better != run
                below += better == run
        assert found[run] == (1 + above, runs - below)


def test_many_runs_are_told_apart_by_their_differences_to_the_first():
    rng = np.random.default_rng(7)
    quantities = {f"{k:02}": of for k, of in enumerate(means(rng.normal(size=(12, 40)) + rng.normal(0, 3, 40)))}
    first = quantities["00"]
    found = band([difference(of, first) for of in quantities.values()], 0.9, FEW)
    ends = dict(zip(quantities, zip(found.low, found.high, strict=True), strict=True))
    assert (found.low[0], found.high[0]) == (0, 0)
    for run, (best, worst) in rank_sets(quantities, 0.9, True, FEW).items():
        assert best == 1 + sum(low > ends[run][1] for low, _ in ends.values())
        assert worst == 40 - sum(high < ends[run][0] for _, high in ends.values())
    assert set(rank_sets(quantities, 0.9, True, FEW).values()) != {(1, 40)}


def test_runs_far_apart_have_one_rank_each_and_equal_runs_all_of_them():
    noise = np.random.default_rng(5).normal(size=(8, 3))
    apart = dict(zip("abc", means(noise + np.array([0.0, 90.0, -90.0])), strict=True))
    assert rank_sets(apart, 0.95, True) == {"a": (2, 2), "b": (1, 1), "c": (3, 3)}
    assert rank_sets(apart, 0.95, False) == {"a": (2, 2), "b": (3, 3), "c": (1, 1)}
    assert rank_sets(dict.fromkeys("abc", apart["a"]), 0.95, True) == dict.fromkeys("abc", (1, 3))
    assert rank_sets({"a": apart["a"]}, 0.95, True) == {"a": (1, 1)}


def test_thousands_of_quantities_that_hardly_correlate_have_about_the_level_of_sidak():
    """Their draws are few, and how many of all fail in them is uncertain."""
    count, degrees = 20_000, 63
    rows = np.random.default_rng(0).normal(size=(count, degrees + 1))
    each = common_level(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.full(count, degrees), 0.95)
    assert critical(each, degrees) == pytest.approx(critical(0.95 ** (1 / count), degrees), abs=0.1)
