"""The critic is fitted on the other fold alone, and what that makes true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp

from remid_jax.information import calibration
from remid_jax.information.mutual_information import mixture, mixture_term, mixture_terms


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def noisy_scores(rng, n, signal=6.0):
    """A matrix with per-context and per-reply constants far larger than the signal on its diagonal."""
    return rng.normal(0, 3, (n, n)) + rng.normal(0, 9, (n, 1)) + rng.normal(-90, 25, n) + np.diag(rng.normal(signal, 3, n))


FOLD = np.array([0, 1, 1, 0, 0, 1, 0, 1])


def fitted(loglik, fold=FOLD):
    """Scales for replies of fold 0 and of fold 1."""
    return np.array([calibration.scale(jnp.asarray(loglik)[None], jnp.asarray(fold != f, float)[None]) for f in (0, 1)])


def critic_of(loglik, fold=FOLD):
    return np.asarray(calibration.critic(jnp.asarray(loglik), jnp.asarray(fold), jnp.asarray(fitted(loglik, fold))))


def offset_by_loops(loglik, j, replies):
    """c_j from these replies, never from the context's own one."""
    return np.mean([loglik[j, k] - np.mean(loglik[:, k]) for k in replies if k != j])


def objective_by_loops(a, loglik, replies):
    """Mixture of `replies`, each scored with offsets from the rest of them."""
    terms = []
    for i in replies:
        rest = [k for k in replies if k != i]
        offsets = [offset_by_loops(loglik, j, rest if j != i else replies) for j in range(len(loglik))]
        scores = a * (loglik[:, i] - np.array(offsets))
        terms.append(scores[i] - logsumexp(scores) + np.log(len(scores)))
    return np.mean(terms)


def test_offsets_and_critic_are_those_of_the_definition():
    loglik = noisy_scores(np.random.default_rng(0), 8)
    scales = fitted(loglik)
    got = critic_of(loglik)
    for i in range(8):
        other = np.flatnonzero(FOLD[i] != FOLD)
        for j in range(8):
            expected = scales[FOLD[i]] * (loglik[j, i] - offset_by_loops(loglik, j, other))
            assert got[j, i] == pytest.approx(expected, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_scale_maximises_the_mixture_of_the_other_fold(seed):
    loglik = noisy_scores(np.random.default_rng(seed), 12, signal=4.0)
    replies = np.arange(6)
    a = float(calibration.scale(jnp.asarray(loglik)[None], jnp.asarray(np.arange(12) < 6, float)[None]))
    best = minimize_scalar(lambda s: -objective_by_loops(np.exp(s), loglik, replies), bounds=(-6, 2), method="bounded")
    assert a == pytest.approx(np.exp(best.x), rel=0.02)
    assert objective_by_loops(a, loglik, replies) == pytest.approx(-best.fun, abs=1e-4)

    def slope(a):
        return (objective_by_loops(a + 1e-5, loglik, replies) - objective_by_loops(a - 1e-5, loglik, replies)) / 2e-5

    target = slope(2e-5) / 1000
    assert a == pytest.approx(brentq(lambda a: slope(a) - target, 1e-3, 10), rel=1e-4)


def test_the_scale_of_several_categories_is_that_of_their_mean():
    rng = np.random.default_rng(4)
    logliks = np.stack([noisy_scores(rng, 12, signal) for signal in (3.0, 6.0)])
    fitting = np.stack([np.arange(12) < 6, np.arange(12) >= 5]).astype(float)
    a = float(calibration.scale(jnp.asarray(logliks), jnp.asarray(fitting)))
    together = minimize_scalar(
        lambda s: -sum(objective_by_loops(np.exp(s), m, np.flatnonzero(f)) for m, f in zip(logliks, fitting, strict=True)),
        bounds=(-6, 2), method="bounded",
    )  # fmt: skip
    assert a == pytest.approx(np.exp(together.x), rel=0.02)


def test_a_kernel_twice_too_flat_is_sharpened_twice():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 2 * np.pi, (4, 400))  # on a circle no context is nearer to all replies than another
    y = rng.vonmises(x, 6.0)
    half = 3.0 * np.cos(y[:, None, :] - x[:, :, None])
    a = float(calibration.scale(jnp.asarray(half), jnp.ones((4, 400))))
    assert a == pytest.approx(2, rel=0.1)


def test_the_scale_stays_finite_where_every_golden_context_wins_and_falls_to_the_floor_where_none_does():
    separable = np.random.default_rng(6).normal(size=(12, 12)) + 40 * np.eye(12)
    assert 0.05 < fitted(separable, np.arange(12) % 2).max() < 1
    assert fitted(-separable, np.arange(12) % 2) == pytest.approx([1e-4, 1e-4])


def test_replies_of_a_fold_never_touch_the_critic_that_scores_them():
    rng = np.random.default_rng(7)
    loglik = noisy_scores(rng, 8)
    changed = loglik + np.where(FOLD == 0, rng.normal(0, 50, (8, 8)), 0.0)  # other replies for fold 0
    assert fitted(changed)[0] == fitted(loglik)[0]
    scale = fitted(loglik)[0]
    offsets = [m - critic_of(m) / scale for m in (loglik, changed)]  # c_j, the same in every column of fold 0
    for i in np.flatnonzero(FOLD == 0):
        np.testing.assert_allclose(offsets[0][:, i], offsets[1][:, i], rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_constants_of_contexts_and_of_replies_leave_the_calibrated_mixture_as_it_is(seed):
    rng = np.random.default_rng(seed)
    loglik = noisy_scores(rng, 8)
    moved = loglik + rng.normal(0, 30, (8, 1)) + rng.normal(0, 30, 8)
    np.testing.assert_allclose(fitted(moved), fitted(loglik), rtol=1e-6)
    values = [float(mixture(jnp.asarray(critic_of(m)), jnp.ones(8))) for m in (loglik, moved)]
    assert values[0] == pytest.approx(values[1], rel=1e-5, abs=1e-5)


def test_calibration_rescues_the_bound_that_raw_sums_break():
    rng = np.random.default_rng(8)
    fold, raw, calibrated = np.arange(64) % 2, [], []
    for _ in range(10):
        loglik = noisy_scores(rng, 64)
        raw.append(float(mixture(jnp.asarray(loglik), jnp.ones(64))))
        calibrated.append(float(mixture(jnp.asarray(critic_of(loglik, fold)), jnp.ones(64))))
    assert np.mean(raw) < -1  # an impossible value for a mutual information
    assert np.mean(calibrated) > 0.5


def test_without_information_the_calibrated_mixture_is_not_positive_in_expectation():
    """The critic must not know which contexts come from the fold it was fitted on: none of them can be the golden one."""
    rng = np.random.default_rng(9)
    fold, values = np.arange(16) % 2, []
    for _ in range(300):
        loglik = noisy_scores(rng, 16, signal=0.0)
        scores = calibration.critic(jnp.asarray(loglik), jnp.asarray(fold), jnp.asarray([0.2, 0.2]))
        values.append(float(mixture(scores, jnp.ones(16))))
    assert np.mean(values) < 2 * np.std(values) / np.sqrt(len(values))


def test_retrieval_shares_ties():
    scores = jnp.asarray(np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 3.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(calibration.retrieved(scores), [1.0, 0.5, 0.0])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 12).map(str), min_size=1, max_size=20), min_size=1))
def test_a_lineage_has_one_fold_everywhere_and_the_split_does_not_depend_on_order(lineages):
    folds = calibration.folds(lineages)
    assert set(folds) == {name for names in lineages.values() for name in names}
    assert set(folds.values()) <= {0, 1}
    assert calibration.folds({key: names[::-1] for key, names in reversed(lineages.items())}) == folds


def test_folds_are_halves_of_each_category_whether_lineages_are_shared_or_not():
    shared, own = [f"dialogue {i}" for i in range(8)], [f"film {i}" for i in range(10)]
    folds = calibration.folds({"IDTest": shared, "german": shared, "Theater": own})
    assert sum(folds[name] for name in shared) == 4
    assert sum(folds[name] for name in own) == 5


@pytest.mark.parametrize("gone", [0, 5])
def test_a_replicate_refits_the_offsets(gone):
    """Deleting an item changes offsets as fitting them anew without it does, and the mixture with them."""
    loglik = noisy_scores(np.random.default_rng(3), 8)
    scales, kept = fitted(loglik), np.delete(np.arange(8), gone)
    weights = np.ones((1, 8))
    weights[0, gone] = 0
    smaller, fold = loglik[np.ix_(kept, kept)], FOLD[kept]
    changes = []
    for f in (0, 1):
        change = np.asarray(
            calibration.offset_changes(jnp.asarray(loglik), jnp.asarray(f != FOLD, float), jnp.asarray(weights))
        )[0]
        before = calibration.offsets(jnp.asarray(loglik), jnp.asarray(f != FOLD, float))
        anew = calibration.offsets(jnp.asarray(smaller), jnp.asarray(fold != f, float))
        np.testing.assert_allclose((before + change)[kept], anew, atol=1e-10)
        changes.append(change)
    critic = calibration.critic(jnp.asarray(loglik), jnp.asarray(FOLD), jnp.asarray(scales))
    terms = [
        float(
            mixture_term(
                critic[:, i], jnp.asarray(i), jnp.asarray(weights[0]), jnp.asarray(-scales[FOLD[i]] * changes[FOLD[i]])
            )
        )
        for i in kept
    ]
    refitted = calibration.critic(jnp.asarray(smaller), jnp.asarray(fold), jnp.asarray(scales))
    assert np.mean(terms) == pytest.approx(float(mixture(refitted, jnp.ones(7))), abs=1e-9)


def test_a_replicates_scale_is_near_the_one_fitted_anew():
    """One Newton step from the scale of all items: off by less than a third of the change, over deletions of 40 items."""
    rng = np.random.default_rng(4)
    n = 40
    loglik = rng.normal(0, 2, (n, n)) + np.diag(rng.normal(4, 2, n))
    fitting = np.ones(n)
    scale = float(calibration.scale(jnp.asarray(loglik)[None], jnp.asarray(fitting)[None]))
    weights = np.concatenate([np.ones((1, n)), 1 - np.eye(n)])
    slopes, curvature = calibration.scale_slopes(jnp.asarray(loglik), jnp.asarray(fitting), scale, jnp.asarray(weights))
    stepped = scale + (np.asarray(slopes)[1:] - float(slopes[0])) / float(curvature)
    anew = []
    for gone in range(n):
        kept = np.delete(np.arange(n), gone)
        anew.append(float(calibration.scale(jnp.asarray(loglik[np.ix_(kept, kept)])[None], jnp.ones((1, n - 1)))))
    error, change = np.abs(stepped - anew), np.abs(np.array(anew) - scale)
    assert np.sqrt(np.mean(error**2)) < np.sqrt(np.mean(change**2)) / 3
    assert np.corrcoef(stepped, anew)[0, 1] > 0.95


def test_the_slope_of_a_mixture_term_is_that_of_finite_differences():
    loglik = noisy_scores(np.random.default_rng(5), 8)
    scales = fitted(loglik)
    critic = calibration.critic(jnp.asarray(loglik), jnp.asarray(FOLD), jnp.asarray(scales))
    slopes = calibration.mixture_slopes(critic, jnp.asarray(scales[FOLD]))
    terms = [
        mixture_terms(calibration.critic(jnp.asarray(loglik), jnp.asarray(FOLD), jnp.asarray(scales + step)), jnp.ones(8))
        for step in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(slopes, (terms[0] - terms[1]) / 2e-5, rtol=1e-4, atol=1e-7)
