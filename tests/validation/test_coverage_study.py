"""The study of intervals against the product's own path from a score table, and against sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from remid_jax.evaluation.estimating import estimates
from remid_jax.information import calibration
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import jackknife
from remid_jax.information.score_table import Category, Replies, ScoreTable
from remid_jax.parallel import Devices
from remid_jax.validation import coverage_study as study

N = 16


def as_table(scores, nowhere):
    """A score table of IDTest and one shifted category from matrices [4, n, n] and marginals [4, n]."""
    categories = {}
    for number, name in enumerate(("IDTest", "german")):
        ones = np.full(N, 10)
        replies = {
            kind: Replies(ones, ones, {"plain": scores[2 * number + k]}, {"plain": nowhere[2 * number + k]})
            for k, kind in enumerate(("golden", "policy"))
        }
        lineage = np.array([f"{name} {i}" for i in range(N)])
        categories[name] = Category(lineage, lineage, replies)
    return ScoreTable(("plain",), categories)


@pytest.mark.parametrize("channel", ["calm", "heavy"])
def test_values_and_jackknife_are_those_of_the_product(channel, monkeypatch):
    scores, nowhere = study.draw_tables(study.channels()[channel], N, 1, np.random.default_rng(0))
    monkeypatch.setattr(
        calibration, "folds", lambda of: {name: int(name.split()[1]) % 2 for names in of.values() for name in names}
    )
    found = estimates(as_table(scores[0], nowhere[0]), Settings(bootstrap=0), Devices())["categories"]
    with jax.enable_x64(True):
        replicates = study.replicated(N)(jnp.asarray(scores), jnp.asarray(nowhere))
    replicates = {name: np.asarray(values)[0] for name, values in replicates.items()}
    for estimator in study.ESTIMATORS:
        of = replicates[estimator]
        emi = [of[1] - of[0], of[3] - of[2]]
        elsewhere = [np.repeat(side[0], N) for side in emi]
        if estimator == "mixture":
            far = replicates["elsewhere"]
            elsewhere = [(far[1] - far[0])[1:], (far[3] - far[2])[1:]]
        deleted = {
            "emi": np.concatenate([emi[0][1:], elsewhere[0]]) if estimator == "mixture" else emi[0][1:],
            "emid": np.concatenate([emi[0][1:] - elsewhere[1], elsewhere[0] - emi[1][1:]]),
        }
        value = {"emi": emi[0][0], "emid": emi[0][0] - emi[1][0]}
        for quantity, category in (("emi", "IDTest"), ("emid", "german")):
            told = found[category]["plain"][quantity][estimator]["response"]
            assert told["value"] == pytest.approx(value[quantity], abs=1e-9), (estimator, quantity)
            expected = jackknife(deleted[quantity], value[quantity], 0.95)
            assert (told["interval"]["low"], told["interval"]["high"]) == pytest.approx(expected, abs=1e-6), (
                estimator,
                quantity,
            )


def test_population_values_are_sums_over_pairs_by_hand():
    rng = np.random.default_rng(1)
    law, replies, critic = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(4), 3)
    of = study.Channel("hand", "", replies, critic, replies, (law, law))
    pairs = [(law[x] * law[z] * replies[x, y], np.log(critic[x, y]), np.log(critic[z, y]))
             for x in range(3) for z in range(3) for y in range(4)]  # fmt: skip
    assert of.population_club(replies, law) == pytest.approx(sum(p * (own - other) for p, own, other in pairs))
    marginal = law @ replies
    information = sum(law[x] * replies[x, y] * np.log(replies[x, y] / marginal[y]) for x in range(3) for y in range(4))
    assert of.information == pytest.approx(information)


def test_tables_are_drawn_from_the_channel():
    of = study.channels()["misjudged"]
    scores, nowhere = study.draw_tables(of, 8, 4000, np.random.default_rng(2))
    matched = np.diagonal(scores, axis1=2, axis2=3).mean(2)  # mean log q of matched pairs, by table
    exact = [float(law @ (kernel * np.log(of.critic)).sum(1)) for law in of.laws for kernel in (of.golden, of.policy)]
    error = matched.std(0) / np.sqrt(len(matched))
    assert np.all(np.abs(matched.mean(0) - exact) < 4 * error)
    q_0 = np.log(of.laws[0] @ of.critic)
    outside = nowhere.mean(2)
    exact = [float((law @ kernel) @ q_0) for law in of.laws for kernel in (of.golden, of.policy)]
    assert np.all(np.abs(outside.mean(0) - exact) < 4 * outside.std(0) / np.sqrt(len(outside)))


def test_coverage_of_a_mean_is_that_of_its_t_interval():
    values = np.random.default_rng(3).exponential(size=(500, 12))
    deleted = (values.sum(1, keepdims=True) - values) / 11
    intervals = [stats.t.interval(0.95, 11, row.mean(), row.std(ddof=1) / np.sqrt(12)) for row in values]
    expected = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert study.covered(values.mean(1), deleted, 1.0) == pytest.approx(expected)


def test_the_smallest_validated_n_is_where_coverage_is_right_from_then_on():
    def rows(of):
        return [
            {"estimator": name, "n": n, "emi": emi, "emid": 0.95}
            for name in study.ESTIMATORS
            for n, emi in zip(study.SIZES, of, strict=True)
        ]

    assert set(study.smallest_validated(rows((0.95, 0.95, 0.95, 0.95))).values()) == {8}
    assert set(study.smallest_validated(rows((0.95, 0.92, 0.95, 0.95))).values()) == {32}
    assert set(study.smallest_validated(rows((0.95, 0.95, 0.95, 0.98))).values()) == {None}


def test_a_study_covers_about_as_often_as_it_says():
    found = study.coverage(study.channels()["calm"], 32, 150, 0, lambda done, total: None)
    for name in ("club", "prompt_marginal", "mixture_raw"):
        for quantity in ("emi", "emid"):  # three standard errors of 150 tables about the validated range
            assert 0.93 - 3 * 0.018 < found[name][quantity] <= 1.0
    assert found["club"]["emi_value"] < 0 < found["club"]["emid_value"]


def test_bias_of_a_right_critic_is_below_the_information_and_smoothing_lowers_it():
    of = study.channels()["calm"]
    right, blurred = (study.bias(of, 16, smoothing, 50, 0) for smoothing in (0.0, 0.6))
    assert right["mixture_raw"]["mean"] <= of.information + 0.02  # InfoNCE is a lower bound in expectation
    assert blurred["club"]["mean"] < right["club"]["mean"]
    few, all_pairs = (study.spread_by_pairs(of, 100, pairs, 50, 0) for pairs in (100, 9900))
    assert few >= all_pairs - 0.02
