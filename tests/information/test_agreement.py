"""Intervals of agreement against jackknives by hand; whether they hold the correlation of a whole population."""

import numpy as np
import pytest
from scipy import stats

from remid_jax.information import agreement as module
from remid_jax.information.agreement import RatedNumbers, agreement_estimates, grouped, is_crossed, measures
from remid_jax.information.intervals import interval


def table(rng, contexts, systems, shared=0.7):
    """One reply a context and system; numbers and scores share the noise of contexts, of systems, and of replies in part."""
    context, system = np.repeat(np.arange(contexts), systems), np.tile(np.arange(systems), contexts)
    fit = rng.normal(size=contexts * systems)
    numbers = fit + rng.normal(size=contexts)[context] + 0.5 * rng.normal(size=systems)[system]
    scores = shared * fit + rng.normal(size=contexts * systems) + 0.7 * rng.normal(size=contexts)[context]
    names = context.astype(str)
    return names, np.array([f"s{k}" for k in system.tolist()]), numbers, scores


def jackknife(values):
    return (len(values) - 1) / len(values) * np.sum((values - np.mean(values)) ** 2)


def test_an_interval_over_contexts_and_systems_is_that_of_three_jackknives():
    context, system, numbers, scores = table(np.random.default_rng(0), 12, 4)
    found = measures(numbers, scores, context, context, system, 0)["kendall"]

    def without(left_out):
        return stats.kendalltau(numbers[~left_out], scores[~left_out]).statistic

    of_contexts = jackknife([without(context == one) for one in np.unique(context)])
    of_systems = jackknife([without(system == one) for one in np.unique(system)])
    of_both = jackknife([without((context == a) & (system == b)) for a in np.unique(context) for b in np.unique(system)])
    variance = max(of_contexts, of_systems, of_contexts + of_systems - of_both)
    told = interval(found, "correlation", 0.95)
    assert told["kinds"] == {"context": 12, "system": 4}
    half = stats.t.ppf(0.975, 3) * np.sqrt(variance)
    centre = stats.kendalltau(numbers, scores).statistic
    assert (told["low"], told["high"]) == pytest.approx((centre - half, centre + half), abs=1e-9)
    alone = interval(module.over_contexts(found), "correlation", 0.95)
    half = stats.t.ppf(0.975, 11) * np.sqrt(of_contexts)
    assert (alone["low"], alone["high"]) == pytest.approx((centre - half, centre + half), abs=1e-9)
    assert alone["clusters"] == 12


def test_systems_count_as_clusters_only_where_both_repeat():
    assert is_crossed(np.array(["a", "a", "b"]), np.array(["s", "t", "s"]))
    assert not is_crossed(np.array(["a", "b", "c"]), np.array(["s", "s", "t"]))  # a context has one system
    assert not is_crossed(np.array(["a", "a", "b"]), np.array(["s", "t", "u"]))  # a system has one context
    assert not is_crossed(np.array(["a", "a", "b"]), np.array(["s", "s", "s"]))


def test_many_lineages_are_left_out_in_groups():
    names = np.repeat(np.arange(450).astype(str), 2)
    groups = grouped(names, 200, 0)
    assert len(np.unique(groups)) == 200
    np.testing.assert_array_equal(groups[::2], groups[1::2])
    assert np.unique(groups, return_counts=True)[1].max() == 6
    assert grouped(names, 450, 0) is names


def test_sections_hold_every_score_and_system_and_leave_out_replies_without_a_score():
    context, system, numbers, scores = table(np.random.default_rng(1), 10, 3)
    some = np.where(system == "s2", np.nan, scores)
    rated = RatedNumbers(context, context, system, {"club token_rate": numbers}, {"fit": scores, "some": some})
    found = agreement_estimates(rated, 0.9, 0)
    told = found["agreement"]["some"]["club token_rate"]
    kept = system != "s2"
    assert told["spearman"]["value"] == pytest.approx(stats.spearmanr(numbers[kept], scores[kept]).statistic, abs=1e-12)
    assert told["spearman"]["n"] == 20
    assert told["systems"] == {
        "value": None, "unit": "rank_correlation", "estimator": "correlation", "n": 20, "interval": None,
        "reason": "needs 3 systems with unlike means",
    }  # fmt: skip
    assert found["agreement"]["fit"]["club token_rate"]["spearman"]["contexts"]["level"] == 0.9
    mean = found["systems"]["s1"]["quantities"]["club token_rate"]
    of_system = numbers[system == "s1"]
    half = stats.t.ppf(0.95, 9) * of_system.std(ddof=1) / np.sqrt(10)
    assert mean["value"] == pytest.approx(of_system.mean(), abs=1e-12)
    assert mean["interval"]["high"] == pytest.approx(of_system.mean() + half, abs=1e-9)
    assert found["systems"]["s2"]["scores"]["some"]["reason"] == "not given"


def test_intervals_over_contexts_hold_the_correlation_of_all_contexts():
    """300 samples of 24 contexts by the same 3 systems: 95% intervals of Spearman hold its limit in 91 to 98% of them."""
    systems = 0.5 * np.random.default_rng(7).normal(size=3)

    def replies(rng, contexts):
        context = np.repeat(np.arange(contexts), 3)
        fit = rng.normal(size=contexts * 3)
        numbers = fit + rng.normal(size=contexts)[context] + np.tile(systems, contexts)
        scores = 0.7 * fit + rng.normal(size=contexts * 3) + 0.7 * rng.normal(size=contexts)[context]
        return context.astype(str), np.tile(["a", "b", "c"], contexts), numbers, scores

    _, _, numbers, scores = replies(np.random.default_rng(8), 100_000)
    truth = stats.spearmanr(numbers, scores).statistic
    rng, held = np.random.default_rng(9), []
    for _ in range(300):
        context, system, numbers, scores = replies(rng, 24)
        told = interval(
            module.over_contexts(measures(numbers, scores, context, context, system, 0)["spearman"]), "correlation", 0.95
        )
        held.append(told["low"] <= truth <= told["high"])
    assert 0.91 <= np.mean(held) <= 0.98
