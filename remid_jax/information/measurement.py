"""Every estimator on one set of replies of one category, with its replicates.

All categories are measured at the same n (protocol.md, rule 8): where a category has more records, over seeded subsamples of
the smallest n, whose mean counts. So all matrices have one shape and each function is compiled once.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from remid_jax.information import calibration
from remid_jax.information.intervals import Replicates, Resampling, ratio
from remid_jax.information.mutual_information import (
    club,
    leave_one_out,
    mismatched_pairs,
    mixture,
    mixture_terms,
    prompt_marginal,
    weighted_mean,
)
from remid_jax.information.score_table import Category, Replies, ScoreTable, SelfScores
from remid_jax.information.self_information import self_information

SATURATED_WITHIN = 0.1  # nats of log n
ESTIMATORS = ("club", "mixture", "mixture_raw", "leave_one_out", "prompt_marginal")
ALWAYS = ("club_rate", "retrieved", "saturated", "tokens", "chars")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all measurements of a table share."""

    n: int  # contexts per category
    subsamples: dict[str, list[np.ndarray]]  # category -> record indices [n] of each
    pairs: np.ndarray  # [n, n], see `mismatched_pairs`
    resampling: Resampling
    folds: dict[str, int]  # lineage -> 0 or 1
    scales: dict[str, np.ndarray]  # scorer -> the scale for replies of fold 0 and of fold 1; NaN where it cannot be fitted

    def without_bootstrap(self) -> Plan:
        none = self.resampling.multiplicities[:0]
        return dataclasses.replace(self, resampling=dataclasses.replace(self.resampling, multiplicities=none))

    def of_items(self, category: str, lineage: np.ndarray, values: np.ndarray) -> Replicates:
        """The mean of `values` [n records] with its replicates."""
        parts = []
        for chosen in self.subsamples[category]:
            weights = self.resampling.weights(lineage[chosen])
            with np.errstate(invalid="ignore"):
                parts.append((weights @ values[chosen] / weights.sum(axis=1), lineage[chosen]))
        return self.resampling.replicates(parts)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Estimates by (estimator, unit), and on the critic of `mixture`: shares of replies retrieved and saturated."""

    estimates: dict[tuple[str, str], Replicates]
    retrieved: Replicates
    saturated: Replicates
    tokens: Replicates
    chars: Replicates


def make_plan(table: ScoreTable, *, subsamples: int, pairs: int, bootstrap: int, seed: int) -> Plan:
    lineages = {name: category.lineage for name, category in table.categories.items()}
    n = min(len(lineage) for lineage in lineages.values())
    chosen = {}
    for name, lineage in lineages.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        draws = [np.sort(rng.choice(len(lineage), n, replace=False)) for _ in range(subsamples)]
        chosen[name] = draws if len(lineage) > n else [np.arange(n)]
    folds = calibration.folds(lineages)
    return Plan(
        n, chosen, mismatched_pairs(n, pairs, seed), Resampling.of(lineages, bootstrap, seed), folds,
        {scorer: _fit_scales(table, scorer, chosen, folds) for scorer in table.scorers},
    )  # fmt: skip


def _fold_of(lineage: np.ndarray, folds: Mapping[str, int]) -> np.ndarray:
    return np.array([folds[name] for name in lineage.tolist()])


def _can_calibrate(fold: np.ndarray) -> bool:
    return bool(min((fold == 0).sum(), (fold == 1).sum()) >= calibration.FEWEST_REPLIES)


def _fit_scales(
    table: ScoreTable, scorer: str, subsamples: Mapping[str, list[np.ndarray]], folds: Mapping[str, int]
) -> np.ndarray:
    """The scale for replies of fold 0, fitted on the golden replies of fold 1, and the reverse; from first subsamples."""
    matrices, members = [], []
    for name, category in table.categories.items():
        chosen = subsamples[name][0]
        fold = _fold_of(category.lineage[chosen], folds)
        if _can_calibrate(fold):
            matrices.append(category.replies["golden"].loglik[scorer][np.ix_(chosen, chosen)])
            members.append(fold)
    if not matrices:
        return np.full(2, np.nan)
    loglik, fold = jnp.asarray(np.stack(matrices)), np.stack(members)
    return np.array([calibration.scale(loglik, jnp.asarray(fold != f, loglik.dtype)) for f in (0, 1)])


@functools.partial(jax.jit, static_argnames="quantities")
def _measure(
    loglik: Float[Array, "n n"], marginal: Float[Array, " n"], tokens: Float[Array, " n"], chars: Float[Array, " n"],
    fold: Int[Array, " n"], scales: Float[Array, "2"], pairs: Float[Array, "n n"], weights: Float[Array, "R n"],
    quantities: tuple[str, ...],
) -> dict[str, Float[Array, " R"]]:  # fmt: skip
    n = loglik.shape[0]
    critic = calibration.critic(loglik, fold, scales)
    retrieved = calibration.retrieved(critic)
    terms = mixture_terms(critic, jnp.ones(n, loglik.dtype))
    saturated = jnp.where(jnp.isnan(terms), jnp.nan, terms > jnp.log(n) - SATURATED_WITHIN)

    def at(weights: Float[Array, " n"]) -> dict[str, Array]:
        compute = {
            "club_rate": lambda: club(loglik / tokens, weights, pairs),
            "club": lambda: club(loglik, weights, pairs),
            "mixture": lambda: mixture(critic, weights),
            "mixture_raw": lambda: mixture(loglik, weights),
            "leave_one_out": lambda: leave_one_out(loglik, weights),
            "prompt_marginal": lambda: prompt_marginal(loglik, marginal, weights),
            "retrieved": lambda: weighted_mean(retrieved, weights),
            "saturated": lambda: weighted_mean(saturated, weights),
            "tokens": lambda: weighted_mean(tokens, weights),
            "chars": lambda: weighted_mean(chars, weights),
        }
        return {quantity: compute[quantity]() for quantity in quantities}

    return jax.vmap(at)(weights)


def measure(
    name: str, category: Category, replies: Replies, scorer: str, plan: Plan, estimators: tuple[str, ...] = ESTIMATORS
) -> Measured:
    """The estimators on the log-likelihoods of `replies` under `scorer`, in all units (protocol.md, rule 6)."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    marginal = replies.marginal.get(scorer, np.full(len(replies.tokens), np.nan))
    for chosen in plan.subsamples[name]:
        lineage = category.lineage[chosen]
        fold = _fold_of(lineage, plan.folds)
        values = _measure(
            jnp.asarray(replies.loglik[scorer][np.ix_(chosen, chosen)]), jnp.asarray(marginal[chosen]),
            jnp.asarray(replies.tokens[chosen], float), jnp.asarray(replies.chars[chosen], float),
            jnp.asarray(fold), jnp.asarray(plan.scales[scorer] if _can_calibrate(fold) else np.full(2, np.nan)),
            jnp.asarray(plan.pairs), jnp.asarray(plan.resampling.weights(lineage)),
            quantities=(*ALWAYS, *estimators),
        )  # fmt: skip
        for quantity, replicates in values.items():
            parts.setdefault(quantity, []).append((np.asarray(replicates), lineage))
    mean = {quantity: plan.resampling.replicates(of_subsamples) for quantity, of_subsamples in parts.items()}
    estimates = {("club", "token_rate"): mean["club_rate"]}
    for estimator in estimators:
        estimates |= per_response(estimator, mean[estimator], mean["tokens"], mean["chars"])
    return Measured(estimates, mean["retrieved"], mean["saturated"], mean["tokens"], mean["chars"])


def per_response(estimator: str, nats: Replicates, tokens: Replicates, chars: Replicates) -> dict[tuple[str, str], Replicates]:
    """An estimate in nats per response in the three units that follow from it."""
    return {
        (estimator, "response"): nats,
        (estimator, "per_token"): ratio(nats, tokens),
        (estimator, "per_char"): ratio(nats, chars),
    }


@jax.jit
def _measure_self(
    loglik: Float[Array, "n n S"], finished: Float[Array, "n S"], tokens: Float[Array, "n S"], weights: Float[Array, "R n"]
) -> dict[str, Float[Array, " R"]]:
    def at(weights: Float[Array, " n"]) -> dict[str, Array]:
        mixture, leave_one_out = self_information(loglik, finished, weights)
        counted = weights[:, None] * finished
        return {"mixture": mixture, "leave_one_out": leave_one_out, "tokens": (counted * tokens).sum() / counted.sum()}

    return jax.vmap(at)(weights)


def measure_self(name: str, category: Category, scores: SelfScores, plan: Plan) -> dict[str, Replicates]:
    """`mixture` and `leave_one_out` of the self information, nats per response, and the mean `tokens` of finished samples."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for chosen in plan.subsamples[name]:
        lineage = category.lineage[chosen]
        values = _measure_self(
            jnp.asarray(scores.loglik[np.ix_(chosen, chosen)]), jnp.asarray(~scores.truncated[chosen], float),
            jnp.asarray(scores.tokens[chosen], float), jnp.asarray(plan.resampling.weights(lineage)),
        )  # fmt: skip
        for quantity, replicates in values.items():
            parts.setdefault(quantity, []).append((np.asarray(replicates), lineage))
    return {quantity: plan.resampling.replicates(of_subsamples) for quantity, of_subsamples in parts.items()}
