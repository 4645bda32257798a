"""Every estimator on one set of replies of one category, with its replicates.

All categories are measured at the same n (docs/protocol.md, rule 8): where a category has more records, over seeded subsamples
of the smallest n, whose mean counts. Cross-fitted estimators (docs/protocol.md, rule 19) make blocks of a category: n is then
that of the smallest block, and a category counts the mean over its blocks, each by its share of the records; a deleted lineage
changes the blocks it is in, not the shares. So all matrices have one shape and each function is compiled once. The replies of a
matrix are shared by the devices; what is summed over replies is summed on the host, so numbers do not depend on the devices.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from remid_jax.information import calibration
from remid_jax.information.intervals import Replicates, Resampling, combine, ratio
from remid_jax.information.mutual_information import (
    leave_one_out_term,
    mismatched_pairs,
    mixture_term,
    mixture_terms,
)
from remid_jax.information.score_table import NO_GOLDEN, Category, Replies, ScoreTable, SelfScores
from remid_jax.parallel import Devices

SATURATED_WITHIN = 0.1  # nats of log n
ESTIMATORS = ("club", "mixture", "mixture_raw", "leave_one_out", "prompt_marginal")
LINEAR = ("club", "prompt_marginal")
"""The formulas that are linear in log-likelihoods: those of parts of a reply sum to those of the whole."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Records of a category that are compared with one another."""

    share: float  # of the category's records
    draws: list[np.ndarray]  # record indices [n] of each subsample


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all measurements of a table share."""

    n: int  # contexts per block
    blocks: dict[str, list[Block]]  # by category
    pairs: np.ndarray  # [n, n], see `mismatched_pairs`
    resampling: Resampling
    folds: dict[str, int]  # lineage -> 0 or 1
    scales: dict[str, tuple[Replicates, Replicates]]  # scorer -> the scale for replies of fold 0 and of fold 1; or NaN
    devices: Devices

    def without_bootstrap(self) -> Plan:
        resampling = dataclasses.replace(self.resampling, multiplicities=self.resampling.multiplicities[:0])
        kept = 1 + resampling.deleted
        scales = {
            scorer: (zero._replace(values=zero.values[:kept]), one._replace(values=one.values[:kept]))
            for scorer, (zero, one) in self.scales.items()
        }
        return dataclasses.replace(self, resampling=resampling, scales=scales)

    def mean(
        self, category: str, lineage: np.ndarray, of: Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
    ) -> dict[str, Replicates]:
        """The mean over a category's subsamples of each quantity of `of(record indices [n], weights [R, n])`, which is [R]."""
        quantities: list[str] = []
        of_blocks = []
        for block in self.blocks[category]:
            parts = []
            for chosen in block.draws:
                with np.errstate(invalid="ignore", divide="ignore"):
                    found = of(chosen, self.resampling.weights(lineage[chosen]))
                quantities = list(found)
                parts.append((np.stack(list(found.values())), lineage[chosen]))
            of_blocks.append(self.resampling.replicates(parts))
        shares = [block.share for block in self.blocks[category]]

        def pooled(*values: np.ndarray) -> np.ndarray:
            return sum((share * of_block for share, of_block in zip(shares, values, strict=True)), np.zeros(1))

        mean = combine(pooled, *of_blocks)._replace(in_folds=sum(part.fewest for part in of_blocks))
        return {quantity: mean._replace(values=values) for quantity, values in zip(quantities, mean.values, strict=True)}

    def of_items(self, category: str, lineage: np.ndarray, values: np.ndarray) -> Replicates:
        """The mean of `values` [n records] with its replicates."""
        return self.mean(category, lineage, lambda chosen, weights: {"": weights @ values[chosen] / weights.sum(axis=1)})[""]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Estimates by (estimator, unit), and on the critic of `mixture`: shares of replies retrieved and saturated."""

    estimates: dict[tuple[str, str], Replicates]
    retrieved: Replicates
    saturated: Replicates
    tokens: Replicates
    chars: Replicates


def make_plan(table: ScoreTable, devices: Devices, *, subsamples: int, pairs: int, bootstrap: int, seed: int) -> Plan:
    lineages = {name: category.lineage for name, category in table.categories.items()}
    members = {name: category.blocks for name, category in table.categories.items()}
    n = min(len(block) for of_category in members.values() for block in of_category)
    blocks = {name: drawn(name, of_category, n, subsamples, seed) for name, of_category in members.items()}
    clusters = {name: category.clusters for name, category in table.categories.items()}
    resampling = Resampling.of(lineages, bootstrap, seed, clusters)
    group = resampling.components

    def folds_of(names: Iterable[str]) -> dict[str, int]:
        return calibration.folds(
            {
                f"{name}/{i}": [group[lineage] for lineage in lineages[name][block].tolist()]
                for name in names
                for i, block in enumerate(members[name])
            }
        )

    # Categories that dials made change nothing of others: they decide about lineages alone that these do not have.
    of_group = folds_of(table.dials) | folds_of(name for name in members if name not in table.dials)
    folds = {lineage: of_group[name] for lineage, name in group.items()}
    scales = {scorer: _fit_scales(table, scorer, blocks, folds, resampling) for scorer in table.scorers}
    return Plan(n, blocks, mismatched_pairs(n, pairs, seed), resampling, folds, scales, devices)


def drawn(category: str, members: Sequence[np.ndarray], n: int, subsamples: int, seed: int) -> list[Block]:
    """Seeded subsamples of n of each block of record indices; the block itself where it has no more."""
    rng, records = np.random.default_rng([seed, zlib.crc32(category.encode())]), sum(map(len, members))
    blocks = []
    for block in members:
        draws = [block[np.sort(rng.choice(len(block), n, replace=False))] for _ in range(subsamples)]
        blocks.append(Block(len(block) / records, draws if len(block) > n else [block]))
    return blocks


def _fold_of(lineage: np.ndarray, folds: Mapping[str, int]) -> np.ndarray:
    return np.array([folds[name] for name in lineage.tolist()])


def _can_calibrate(fold: np.ndarray) -> bool:
    return bool(min((fold == 0).sum(), (fold == 1).sum()) >= calibration.FEWEST_REPLIES)


def _fit_scales(
    table: ScoreTable,
    scorer: str,
    blocks: Mapping[str, list[Block]],
    folds: Mapping[str, int],
    resampling: Resampling,
) -> tuple[Replicates, Replicates]:
    """The scale for replies of fold 0, fitted on the golden replies of fold 1, and the reverse; from first subsamples.

    Categories that dials made of the records of others count for nothing, so that these have the same scale without them.
    """
    matrices, members, lineages = [], [], []
    for name, chosen in ((name, block.draws[0]) for name, of in blocks.items() for block in of):
        category = table.categories[name]
        fold = _fold_of(category.lineage[chosen], folds)
        if category.golden is not None and _can_calibrate(fold) and name not in table.dials:
            matrices.append(category.golden.loglik[scorer][np.ix_(chosen, chosen)])
            members.append(fold)
            lineages.append(category.lineage[chosen])
    if not matrices:
        has_golden = any(category.golden is not None for category in table.categories.values())
        nothing = resampling.constant(np.nan, "" if has_golden else NO_GOLDEN)
        return nothing, nothing
    loglik, fold = jnp.asarray(np.stack(matrices)), np.stack(members)
    zero, one = (_fit_scale(loglik, jnp.asarray(fold != f, loglik.dtype), lineages, resampling) for f in (0, 1))
    return zero, one


def _fit_scale(
    loglik: Float[Array, "C n n"], fitting: Float[Array, "C n"], lineages: list[np.ndarray], resampling: Resampling
) -> Replicates:
    """The scale with its replicates: one Newton step of its equation from the scale of all items."""
    scale = calibration.scale(loglik, fitting)
    slopes, curvature = [], 0.0
    for of_category, members, lineage in zip(loglik, fitting, lineages, strict=True):
        weights = jnp.asarray(resampling.weights(lineage))
        slope, steepness = calibration.scale_slopes(of_category, members, scale, weights)
        slopes.append(resampling.replicates([(np.asarray(slope), lineage)]))
        curvature += float(steepness)
    low, high = calibration.SCALES
    fitted = low * 1.01 < float(scale) < high * 0.99  # at an end of the range it does not move

    def move(*slopes: np.ndarray) -> np.ndarray:
        change = sum(slope - slope[0] for slope in slopes) / curvature if fitted else np.zeros_like(slopes[0])
        return np.clip(float(scale) + np.nan_to_num(change), low, high)

    return combine(move, *slopes)


@functools.lru_cache(maxsize=32)
def _measuring(devices: Devices, estimators: tuple[str, ...]) -> Callable:
    """What every reply adds, under all weights: rows of replies in, rows of sums and terms [R] out."""

    def measure_rows(shared: dict[str, Array], rows: dict[str, Array]) -> dict[str, Array]:
        weights, raised = shared["weights"], shared["raised"]
        none = jnp.zeros_like(raised[0])

        def of_reply(row: dict[str, Array]) -> dict[str, Array]:
            own = row["own"]

            def terms(column: Array, raised: Array) -> Array:
                return jax.vmap(lambda w, r: mixture_term(column, own, w, r))(weights, raised)

            compute = {
                "mixture": lambda: terms(row["critic"], raised[row["fold"]]),
                "mixture_raw": lambda: terms(row["column"], none),
                "leave_one_out": lambda: jax.vmap(lambda w: leave_one_out_term(row["column"], own, w))(weights),
            }
            return {name: compute[name]() for name in estimators if name in compute}

        return jax.vmap(of_reply)(rows)

    return devices.spread(measure_rows)


@jax.jit
def _of_critic(
    loglik: Float[Array, "n n"], fold: Int[Array, " n"], scales: Float[Array, "2"], weights: Float[Array, "R n"]
) -> dict[str, Array]:
    """The critic [n, n], what each row of weights adds to it for replies of either fold [2, R, n], and of each reply [n] the
    term of `mixture`, its slope in the scale, and whether it is retrieved."""
    critic = calibration.critic(loglik, fold, scales)
    changes = [calibration.offset_changes(loglik, (fold != f).astype(loglik.dtype), weights) for f in (0, 1)]
    return {
        "critic": critic,
        "raised": -scales[:, None, None] * jnp.stack(changes),
        "terms": mixture_terms(critic, jnp.ones(len(loglik), loglik.dtype)),
        "slopes": calibration.mixture_slopes(critic, scales[fold]),
        "retrieved": calibration.retrieved(critic),
    }


def _replicates(
    loglik: np.ndarray, fold: np.ndarray, scales: np.ndarray, weights: np.ndarray, plan: Plan, estimators: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """What is not linear of a matrix [n, n] under every row of weights [R, n]; the scale's own replicates come later."""
    n = len(loglik)
    of_critic = jax.tree.map(np.asarray, _of_critic(loglik, fold, scales, weights))
    rows = {"column": loglik.T, "critic": of_critic["critic"].T, "own": np.arange(n), "fold": fold}
    shared = {"weights": weights, "raised": of_critic["raised"]}
    found = plan.devices.map_rows(_measuring(plan.devices, estimators), shared, rows)
    total = weights.sum(axis=1)

    def mean(values: np.ndarray) -> np.ndarray:
        """Over items, of values [n] or of terms [n, R] that depend on the weights themselves."""
        return (weights @ values if values.ndim == 1 else (weights.T * values).sum(axis=0)) / total

    quantities: dict[str, np.ndarray] = {name: mean(values) for name, values in found.items()}
    terms = of_critic["terms"]
    saturated = np.where(np.isnan(terms), np.nan, terms > np.log(n) - SATURATED_WITHIN)
    quantities |= {"retrieved": mean(of_critic["retrieved"]), "saturated": mean(saturated)}
    return quantities | {f"slope {f}": mean(np.where(fold == f, of_critic["slopes"], 0.0)) for f in (0, 1)}


def measure(
    name: str, category: Category, replies: Replies, scorer: str, plan: Plan, estimators: tuple[str, ...] = ESTIMATORS
) -> Measured:
    """The estimators on the log-likelihoods of `replies` under `scorer`, in all units (docs/protocol.md, rule 6)."""
    scales = plan.scales[scorer]

    def of(chosen: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        fold = _fold_of(category.lineage[chosen], plan.folds)
        fitted = np.array([scale.values[0] for scale in scales]) if _can_calibrate(fold) else np.full(2, np.nan)
        return _replicates(replies.loglik[scorer][np.ix_(chosen, chosen)], fold, fitted, weights, plan, estimators)

    mean = plan.mean(name, category.lineage, of)
    if "mixture" in mean:  # its critic's scale is fitted on all categories, so every lineage of the table moves it
        moved = [
            combine(lambda slope, scale: slope[0] * (scale - scale[0]), mean[f"slope {f}"], scale)
            for f, scale in enumerate(scales)
        ]
        mean["mixture"] = combine(lambda *parts: sum(parts), mean["mixture"], *moved)
    mean |= _linear_means(name, category, replies, scorer, plan)
    estimates = {("club", "token_rate"): mean["club_rate"]}
    for estimator in estimators:
        estimates |= per_response(estimator, mean[estimator], mean["tokens"], mean["chars"])
    retrieved, saturated = (mean[name]._replace(reason=scales[0].reason) for name in ("retrieved", "saturated"))
    return Measured(estimates, retrieved, saturated, mean["tokens"], mean["chars"])


def measure_linear(
    name: str, category: Category, replies: Replies, scorer: str, plan: Plan
) -> dict[tuple[str, str], Replicates]:
    """The estimators of `LINEAR` in all units, as those of `measure`.

    `replies` may be those of several runs at once: then their arrays have the runs' axis in front, and so have the replicates.
    """
    mean = _linear_means(name, category, replies, scorer, plan)
    estimates = {("club", "token_rate"): mean["club_rate"]}
    for estimator in LINEAR:
        estimates |= per_response(estimator, mean[estimator], mean["tokens"], mean["chars"])
    return estimates


def _linear_means(name: str, category: Category, replies: Replies, scorer: str, plan: Plan) -> dict[str, Replicates]:
    """`club` in nats and as a rate, `prompt_marginal`, and the mean tokens and characters of replies."""
    whole = replies.loglik[scorer]
    marginal = replies.marginal.get(scorer, np.full(replies.tokens.shape, np.nan))

    def of(chosen: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        loglik, total = whole[..., chosen[:, None], chosen], weights.sum(axis=1)
        tokens, chars = replies.tokens[..., chosen].astype(float), replies.chars[..., chosen].astype(float)
        own, sums = np.diagonal(loglik, axis1=-2, axis2=-1), weights @ (plan.pairs * loglik)  # [..., R, n], of each reply
        counted = (weights * (weights @ plan.pairs)).sum(axis=-1)

        def mean(values: np.ndarray) -> np.ndarray:
            return (values[..., None, :] @ weights.T)[..., 0, :] / total  # a run at a time: all alike, however many there are

        def mismatched(sums: np.ndarray) -> np.ndarray:
            return (weights * sums).sum(axis=-1) / counted

        return {
            "club": mean(own) - mismatched(sums),
            "club_rate": mean(own / tokens) - mismatched(sums / tokens[..., None, :]),
            "prompt_marginal": mean(own - marginal[..., chosen]),
            "tokens": mean(tokens),
            "chars": mean(chars),
        }

    return plan.mean(name, category.lineage, of)


def unmeasured(plan: Plan, reason: str, estimators: tuple[str, ...] = ESTIMATORS) -> Measured:
    """Returns what `measure` would, of replies that there are none of."""
    nothing = plan.resampling.constant(np.nan, reason)
    keys = [("club", "token_rate"), *((name, unit) for name in estimators for unit in ("response", "per_token", "per_char"))]
    return Measured(dict.fromkeys(keys, nothing), nothing, nothing, nothing, nothing)


def per_response(estimator: str, nats: Replicates, tokens: Replicates, chars: Replicates) -> dict[tuple[str, str], Replicates]:
    """An estimate in nats per response in the three units that follow from it."""
    return {
        (estimator, "response"): nats,
        (estimator, "per_token"): ratio(nats, tokens),
        (estimator, "per_char"): ratio(nats, chars),
    }


@functools.lru_cache(maxsize=8)
def _measuring_self(devices: Devices) -> Callable:
    """Each reply's own samples' terms under all weights: rows of replies in, `mixture` and `leave_one_out` [S, R] out."""

    def measure_rows(weights: Float[Array, "R n"], rows: dict[str, Array]) -> dict[str, Array]:
        none = jnp.zeros(weights.shape[1], weights.dtype)

        def of_sample(column: Array, own: Array) -> dict[str, Array]:
            return {
                "mixture": jax.vmap(lambda w: mixture_term(column, own, w, none))(weights),
                "leave_one_out": jax.vmap(lambda w: leave_one_out_term(column, own, w))(weights),
            }

        return jax.vmap(jax.vmap(of_sample, (0, None)))(rows["columns"], rows["own"])

    return devices.spread(measure_rows)


def measure_self(name: str, category: Category, scores: SelfScores, plan: Plan) -> dict[str, Replicates]:
    """`mixture` and `leave_one_out` of the self information I(P_X (x) P_theta), nats per response, over samples that are
    events, and their mean `tokens`: in expectation below and above I. The kernel is exact, so no critic is fitted."""
    loglik = scores.loglik
    assert loglik is not None

    def of(chosen: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        rows = {"columns": loglik[np.ix_(chosen, chosen)].transpose(1, 2, 0), "own": np.arange(len(chosen))}
        terms = plan.devices.map_rows(_measuring_self(plan.devices), weights, rows)
        counted = weights.T[:, None] * category.sampled_events[chosen][:, :, None]
        terms["tokens"] = np.broadcast_to(scores.tokens[chosen, :, None], counted.shape)
        return {name: (counted * values).sum(axis=(0, 1)) / counted.sum(axis=(0, 1)) for name, values in terms.items()}

    return plan.mean(name, category.lineage, of)
