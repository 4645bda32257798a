"""Jackknife and bootstrap against closed forms, and what sharing lineages does to a difference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from remid_jax.information.intervals import (
    Replicates,
    Resampling,
    average,
    difference,
    interval,
    number,
    ratio,
    skewness,
)
from remid_jax.information.mutual_information import club, mismatched_pairs


def mean_of(resampling, lineage, values):
    weights = resampling.weights(np.asarray(lineage))
    with np.errstate(invalid="ignore"):
        return resampling.replicates([(weights @ values / weights.sum(axis=1), np.asarray(lineage))])


def named(prefix, count):
    return np.array([f"{prefix}{i:03d}" for i in range(count)])


def bounds(quantity, estimator="mean", level=0.95):
    result = interval(quantity, estimator, level)
    return result["low"], result["high"]


def t_interval(estimate, variance, df, level=0.95):
    return stats.t.interval(level, df, loc=estimate, scale=np.sqrt(variance))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_jackknife_of_a_mean_is_the_t_interval(level):
    values = np.random.default_rng(0).normal(size=9)
    resampling = Resampling.of({"A": named("l", 9)}, 100, 0)
    got = bounds(mean_of(resampling, named("l", 9), values), level=level)
    assert got == pytest.approx(stats.t.interval(level, 8, loc=values.mean(), scale=stats.sem(values)), rel=1e-12)


def test_records_of_one_lineage_count_as_one_cluster():
    values = np.random.default_rng(1).normal(size=(6, 3))
    lineage = np.repeat(named("l", 6), 3)
    order = np.random.default_rng(2).permutation(18)
    resampling = Resampling.of({"A": lineage[order]}, 0, 0)
    quantity = mean_of(resampling, lineage[order], values.ravel()[order])
    assert bounds(quantity) == pytest.approx(t_interval(values.mean(), stats.sem(values.mean(axis=1)) ** 2, 5), rel=1e-12)
    assert interval(quantity, "mean", 0.95)["clusters"] == 6


def test_a_difference_over_shared_lineages_is_the_paired_t_interval():
    rng = np.random.default_rng(3)
    of_id = rng.normal(size=10)
    of_german = of_id + rng.normal(size=10) * 0.1  # nearly the same: paired, the difference is known well
    lineage = named("l", 10)
    resampling = Resampling.of({"IDTest": lineage, "german": lineage}, 0, 0)
    quantity = difference(mean_of(resampling, lineage, of_id), mean_of(resampling, lineage[::-1], of_german[::-1]))
    paired = of_id - of_german
    assert bounds(quantity) == pytest.approx(t_interval(paired.mean(), stats.sem(paired) ** 2, 9), rel=1e-12)


def test_a_shift_row_keeps_the_covariance_that_a_shared_idtest_makes():
    rng = np.random.default_rng(4)
    n, categories = 12, ["Gaming", "Theater", "Literature"]
    values = {name: rng.normal(size=n) for name in ["IDTest", *categories]}
    resampling = Resampling.of({name: named(name, n) for name in values}, 0, 0)
    means = {name: mean_of(resampling, named(name, n), of) for name, of in values.items()}
    row = average([difference(means["IDTest"], means[name]) for name in categories])
    # IDTest's noise stands in all three differences, so its variance is not divided by three
    spread = {name: np.var(of, ddof=1) / (n - 1) for name, of in values.items()}
    clusters = 4 * n
    variance = (clusters - 1) / clusters * (spread["IDTest"] + sum(spread[name] for name in categories) / 9)
    estimate = values["IDTest"].mean() - np.mean([values[name].mean() for name in categories])
    assert bounds(row) == pytest.approx(t_interval(estimate, variance, clusters - 1), rel=1e-12)
    assert interval(row, "mean", 0.95)["clusters"] == clusters


def test_the_mean_over_subsamples_counts_every_lineage_once():
    values = np.random.default_rng(5).normal(size=8)
    lineage = named("l", 8)
    resampling = Resampling.of({"A": lineage}, 0, 0)
    halves = [np.arange(4), np.arange(4, 8)]
    parts = []
    for chosen in halves:
        weights = resampling.weights(lineage[chosen])
        parts.append((weights @ values[chosen] / weights.sum(axis=1), lineage[chosen]))
    quantity = resampling.replicates(parts)
    assert quantity.values[0] == pytest.approx(values.mean())
    for g in range(8):
        half = values[4 * (g // 4) : 4 * (g // 4) + 4]
        expected = (np.delete(half, g % 4).mean() + values[4 * (1 - g // 4) :][:4].mean()) / 2
        assert quantity.values[1 + g] == pytest.approx(expected)


def test_the_bootstrap_stands_beside_from_32_lineages_on_with_shared_draws():
    values = np.random.default_rng(6).normal(size=40)
    lineage = named("l", 40)
    resampling = Resampling.of({"A": lineage, "B": lineage}, 2000, 0)
    assert resampling.multiplicities.shape == (2000, 40)
    assert np.all(resampling.multiplicities.sum(axis=1) == 40)
    quantity = mean_of(resampling, lineage, values)
    beside = interval(quantity, "mean", 0.95)["bootstrap"]
    drawn = resampling.multiplicities @ values / 40
    assert (beside["low"], beside["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    expected = stats.norm.interval(0.95, values.mean(), values.std() / np.sqrt(40))
    assert (beside["low"], beside["high"]) == pytest.approx(expected, abs=0.04)
    zero = difference(quantity, mean_of(resampling, lineage, values))
    assert np.all(zero.values == 0)
    few = Resampling.of({"A": lineage[:31]}, 2000, 0)
    assert interval(mean_of(few, lineage[:31], values[:31]), "mean", 0.95)["bootstrap"] is None


@pytest.mark.parametrize(
    ("estimator", "clusters", "validated"),
    [("club", 15, False), ("club", 16, True), ("mixture", 63, False), ("mixture", 64, True)],
)
def test_an_interval_below_the_validated_n_is_marked(estimator, clusters, validated):
    lineage = named("l", clusters)
    many = named("m", 80)
    resampling = Resampling.of({"A": lineage, "B": many}, 0, 0)
    quantity = mean_of(resampling, lineage, np.arange(clusters) * 1.0)
    assert interval(quantity, estimator, 0.95)["validated"] is validated
    mixed = ratio(quantity, mean_of(resampling, many, np.ones(80)))
    assert interval(mixed, estimator, 0.95)["validated"] is validated  # the smallest category decides


@pytest.mark.parametrize(("outlier", "skewed"), [(1.0, False), (9.0, True), (-9.0, True)])
def test_an_interval_that_few_lineages_carry_is_marked(outlier, skewed):
    values = np.array([*np.linspace(-2, 2, 15), outlier])
    quantity = mean_of(Resampling.of({"A": named("l", 16)}, 0, 0), named("l", 16), values)
    assert skewness(quantity) == pytest.approx(stats.skew(values) / 4, rel=1e-9)
    assert (abs(stats.skew(values) / 4) > 0.4) == skewed
    assert interval(quantity, "mean", 0.95).get("skewed", False) is skewed
    assert "skewed" not in interval(quantity, "mixture", 0.95)  # from 16 lineages it is not to be trusted anyway


def test_what_does_not_vary_is_not_skewed():
    equal = mean_of(Resampling.of({"A": named("l", 16)}, 0, 0), named("l", 16), np.full(16, 0.1))
    assert skewness(equal) == 0
    assert "skewed" not in interval(equal, "mean", 0.95)


def test_what_cannot_be_known_is_null_with_a_reason():
    one = Resampling.of({"A": np.array(["only"] * 3)}, 0, 0)
    result = interval(mean_of(one, ["only"] * 3, np.arange(3.0)), "mean", 0.95)
    assert (result["low"], result["reason"]) == (None, "an interval needs two lineages")
    broken = Replicates(np.array([1.0, np.nan, 2.0]), np.array([True, True]), 2)
    assert interval(broken, "mean", 0.95)["reason"] == "the estimate does not exist without one of the lineages"
    none = number(broken._replace(values=np.full(3, np.nan)), unit="share", estimator="mean", n=2, level=0.95, reason="why")
    assert none == {"value": None, "unit": "share", "estimator": "mean", "n": 2, "interval": None, "reason": "why"}


def test_the_interval_of_club_covers_at_sixteen_contexts():
    """Nominal 95%: over 600 tables the coverage of club's own mean stays within four standard errors."""
    n, tables = 16, 600
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(tables, n, n)) + rng.normal(size=(tables, n, 1)) + rng.normal(size=(tables, 1, n))
    logliks = noise + np.eye(n) * (2 + rng.normal(size=(tables, n, 1)))
    resampling = Resampling.of({"A": named("l", n)}, 0, 0)
    weights, pairs = resampling.weights(named("l", n)), mismatched_pairs(n, 1, 0)
    with jax.enable_x64(True):
        each = jax.vmap(jax.vmap(club, in_axes=(None, 0, None)), in_axes=(0, None, None))
        values = np.asarray(each(jnp.asarray(logliks), jnp.asarray(weights), jnp.asarray(pairs)))
    intervals = np.array([bounds(resampling.replicates([(row, named("l", n))]), "club") for row in values])
    covered = np.mean((intervals[:, 0] <= 2) & (intervals[:, 1] >= 2))
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / tables)
