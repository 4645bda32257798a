"""How far the lower limits of D_JS from samples hold, on mixtures of Gaussians whose divergence is known by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from remid_jax.information.intervals import jackknife
from remid_jax.shifts.two_samples.relabelling import RELABELLINGS, against_null, relabellings, weights
from remid_jax.shifts.two_samples.representation import divergences, gram, unit_rows
from remid_jax.shifts.two_samples.ridge import classifier_limit, classifier_scores, classify, left_out

DIVERGENCES = (0.0, 0.1, 0.3, 0.6)
FREQUENCIES = np.random.default_rng(0).normal(size=32)  # of the random Fourier features, rows of length 1


def divergence_of(mean: float) -> float:
    """D_JS of (N(-1, 1) + N(1, 1))/2 and the same moved by `mean`, nats, by quadrature."""
    x = np.linspace(-15, 25, 20_001)
    p, q = ((stats.norm.pdf(x, centre - 1) + stats.norm.pdf(x, centre + 1)) / 2 for centre in (0.0, mean))
    return float(np.sum(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2 * (x[1] - x[0]))


def draw_limits(mean: float, n: int, draws: int, seed: int, level: float = 0.95) -> dict[str, np.ndarray]:
    """Over `draws` samples of n a side: one-sided lower limits of the representation divergence above its null and of the
    classifier, their values, and the p-value of the null, each [draws]."""
    found: dict[str, list[float]] = {}
    in_p, lineage = np.arange(2 * n) < n, np.arange(2 * n).astype(str)
    deleted = 1.0 - np.eye(2 * n)
    kept = [side / side.sum(1, keepdims=True) for side in (deleted * in_p, deleted * ~in_p)]
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        x = rng.choice([-1.0, 1.0], 2 * n) + rng.normal(size=2 * n) + mean * ~in_p
        rows = unit_rows(np.concatenate([np.cos(np.outer(x, FREQUENCIES)), np.sin(np.outer(x, FREQUENCIES))], axis=1))
        kernel = gram(rows)
        labels = np.concatenate([in_p[None], relabellings(lineage, in_p, RELABELLINGS, draw)])
        p, q = (np.concatenate(parts) for parts in zip(weights(labels), kept, strict=True))
        values = divergences(kernel[None], p, q)[:, 0]
        against = against_null(values[0], values[1 : 1 + RELABELLINGS])
        low, _ = jackknife(values[1 + RELABELLINGS :], against["excess"], 2 * level - 1)
        scores = classifier_scores(classify(left_out(kernel, lineage), in_p), in_p)
        for name, value in (
            ("representation", low), ("excess", against["excess"]), ("p_value", against["p_value"]),
            ("classifier", classifier_limit(scores, level)), ("score", float(scores.mean())),
        ):  # fmt: skip
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def study(n: int, draws: int, seed: int, report: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """A row for each of `DIVERGENCES`: how often limits hold, how often the null is rejected at 5%, mean estimates."""
    rows = []
    for number, target in enumerate(DIVERGENCES):
        mean = brentq(lambda m, target=target: divergence_of(m) - target, 0.01, 12) if target else 0.0
        found = draw_limits(mean, n, draws, seed)
        rows.append({
            "divergence": target, "n": n, "draws": draws,
            "representation_holds": float(np.mean(found["representation"] <= target)),
            "classifier_holds": float(np.mean(found["classifier"] <= target)),
            "rejected": float(np.mean(found["p_value"] <= 0.05)),
            "excess": float(found["excess"].mean()), "classifier": float(found["score"].mean()),
        })  # fmt: skip
        report((number + 1) * draws, len(DIVERGENCES) * draws)
    return rows
