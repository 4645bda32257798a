"""Regression on a Gram matrix in which nothing predicts itself: kernel ridge, every lineage left out in turn, in closed form.

The prediction of the items of a lineage from all other lineages is linear in the targets, so one matrix serves every target:
labels, relabellings and g alike. With H = K (K + ridge N I)^-1,

    left out:  yhat_L = y_L - (I - H_LL)^-1 (y - H y)_L.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from remid_jax.theory.divergences import LN2

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
STRETCHES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


class LeftOut(NamedTuple):
    """`predictors[r]` [N, N] maps targets to predictions of items whose own lineage was left out, for each of `RIDGES`;
    `half` [N] tells the two halves of lineages apart, which choose ridge and stretch for each other."""

    predictors: np.ndarray
    half: np.ndarray


def left_out(gram: np.ndarray, lineage: np.ndarray, ridges: tuple[float, ...] = RIDGES) -> LeftOut:
    """The predictors of a Gram matrix [N, N]; lineages take turns in the halves, in the order of their first items."""
    names, first, codes = np.unique(lineage, return_index=True, return_inverse=True)
    n, eye = len(gram), np.eye(len(gram))
    predictors = np.empty((len(ridges), n, n))
    for number, ridge in enumerate(ridges):
        residual = eye - np.linalg.solve(gram + ridge * n * eye, gram).T
        for code in range(len(names)):
            own = np.flatnonzero(codes == code)
            predictors[number, own] = eye[own] - np.linalg.solve(residual[np.ix_(own, own)], residual[own])
    turn = np.empty(len(names), int)
    turn[np.argsort(first)] = np.arange(len(names)) % 2
    return LeftOut(predictors, turn[codes])


def _chosen_by_the_other_half(losses: np.ndarray, half: np.ndarray) -> np.ndarray:
    """For each item [N, ...] the number of the option whose loss [options, N, ...] is least on the other half."""
    best = [losses[:, half == other].mean(axis=1).argmin(axis=0) for other in (1, 0)]
    return np.where(half.reshape(-1, *[1] * (losses.ndim - 2)) == 0, *best)


def regress(of: LeftOut, targets: np.ndarray) -> np.ndarray:
    """Predictions of targets [N] or [N, M] centred at 0, with the ridge that fits the other half best."""
    predicted = of.predictors @ targets
    chosen = _chosen_by_the_other_half((predicted - targets) ** 2, of.half)
    return np.take_along_axis(predicted, chosen[None], 0)[0]


def classify(of: LeftOut, in_p: np.ndarray) -> np.ndarray:
    """v such that tanh v predicts +1 in P and -1 in Q (bool [N] or [N, M]): the log odds of P, halved.

    tanh v is the prediction times the stretch that, with its ridge, does best on the other half; stretch 0, no knowledge, is
    among the choices. Odds stay within 1/N .. N: N items cannot tell more.
    """
    signs = np.where(in_p, 1.0, -1.0)
    predicted = of.predictors @ signs
    n = len(of.half)
    most = (n - 1) / (n + 1)
    options = np.concatenate([np.clip(stretch * predicted, -most, most) for stretch in STRETCHES])  # of tanh v
    chosen = _chosen_by_the_other_half(-np.log1p(signs * options), of.half)  # by `classifier_scores`
    return np.arctanh(np.take_along_axis(options, chosen[None], 0)[0])


def classifier_scores(v: np.ndarray, in_p: np.ndarray) -> np.ndarray:
    """log(1 + tanh v) in P, log(1 - tanh v) in Q, nats: their mean over a balanced sample estimates a lower bound of D_JS.

    D_JS >= E_P log(1 + t)/2 + E_Q log(1 - t)/2 for every function t within -1 .. 1, with equality at t = s.
    """
    return LN2 - np.logaddexp(0, -2 * np.where(in_p, v, -v))


def classifier_limit(scores: np.ndarray, level: float) -> float:
    """A lower limit of D_JS at one-sided `level`, from the scores [N] of `classifier_scores`.

    Student's, with one more item of the lowest score possible: well separated samples show too few errors to estimate from.
    """
    n = len(scores)
    scores = np.append(scores, LN2 - np.log1p(n))
    return float(scores.mean() - stdtrit(n, level) * scores.std(ddof=1) / np.sqrt(n + 1))
