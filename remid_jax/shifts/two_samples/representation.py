"""The representation Jensen-Shannon divergence of two weighted samples (arXiv 2305.16446; docs/metric.md, section 4).

With unit feature rows z_i, C_w = sum_i w_i z_i z_i' has trace 1, S(C) = -sum lambda log lambda over its eigenvalues, and

    JSD = S((C_p + C_q)/2) - (S(C_p) + S(C_q))/2   <=   D_JS(P || Q)   in population.

Only unit rows make it a lower bound (docs/theory.md, W9). C_w has the eigenvalues of its dual sqrt(w) K sqrt(w), K = Z Z', so
everything takes the Gram matrix K. The joint of several factors is the Hadamard product of their Gram matrices: forgetting a
factor is a partial trace, so adding one never lowers the divergence. One-hot rows give the plug-in divergence of discrete data.
The value of a sample is biased up by about (effective dimension)/n: read it against its permutation null.
"""

from __future__ import annotations

import itertools

import numpy as np

SUBSETS = tuple(subset for size in range(4) for subset in itertools.combinations(range(3), size))
"""All subsets of three factors, () first, in the order of every array over subsets."""
AT_ONCE = 16  # relabellings in memory together


def standardised(features: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    """Unit rows [N, D] of features centred and scaled column by column, as it is right for the rows `by`, by default all.

    Hidden states share a few huge directions.
    """
    by = features if by is None else by
    mean = by.mean(0)
    return unit_rows((features - mean) / np.maximum((by - mean).std(0), 1e-12))


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float64; a row of zeros stays one and counts as alike to nothing but itself (`gram`)."""
    features = np.asarray(features, np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-300)


def gram(rows: np.ndarray) -> np.ndarray:
    """K [N, N] of unit rows, its diagonal exactly 1."""
    products = rows @ rows.T
    np.fill_diagonal(products, 1.0)
    return products


def subset_grams(grams: np.ndarray) -> np.ndarray:
    """The Gram matrices [8, N, N] of all `SUBSETS` of three factors, from the factors' own [3, N, N]."""
    return np.stack([np.prod(grams[list(subset)], axis=0) for subset in SUBSETS])


def divergences(grams: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The divergence [R, S] under every pair of weights p, q [R, N], each of sum 1, by each of the Gram matrices [S, N, N].

    Nats, within 0 .. ln 2. Each entropy is computed once, whatever pairs it stands in (relabellings share their mixture), on
    its items alone.
    """
    mixture = _entropies(grams, (p + q) / 2)
    sides = _entropies(grams, np.concatenate([p, q]))
    return mixture - (sides[: len(p)] + sides[len(p) :]) / 2


def _entropies(grams: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """S(C_w) [R, S] of weights [R, N], each distinct row once."""
    distinct, inverse = np.unique(weights, axis=0, return_inverse=True)
    size = int((distinct > 0).sum(axis=1).max())
    items = np.argsort(-distinct, axis=1, kind="stable")[:, :size]
    roots = np.sqrt(np.take_along_axis(distinct, items, 1))
    parts = [slice(first, first + AT_ONCE) for first in range(0, len(distinct), AT_ONCE)]
    return np.concatenate([_spectral_entropies(grams, items[part], roots[part]) for part in parts])[inverse.ravel()]


def _spectral_entropies(grams: np.ndarray, items: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """S [R, S], nats, of the `items` [R, n] and the roots of their weights [R, n]."""
    duals = grams[:, items[:, :, None], items[:, None, :]] * roots[:, :, None] * roots[:, None, :]
    shares = np.linalg.eigvalsh(duals)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(axis=-1).T
