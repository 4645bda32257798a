"""Bounds on the self EMID of a real run (docs/metric.md, section 4 (Bounds); docs/protocol.md, rules 12 to 14).

For a reference (P, such as IDTest) and a shifted category (Q), every policy sample and every golden reply is scored in all
contexts of both. With the log means over contexts, a reply's own context left out,

    g_theta(x) = mean over samples of log P_theta(y|x) - log M(y),   M = half of P's contexts and half of Q's,
    g_golden(x) the same of the golden reply under the estimator,    g = g_theta - g_golden,
    T = mean_Q log(Q_th/M) - mean_P log(P_th/M) + mean_P log(P_y/M) - mean_Q log(Q_y/M),

the sample's own self EMID (leave-one-out on both sides, two scorers) is exactly mean_P g - mean_Q g + T. `plug_in` and
`unknown_shift` replace its first part by `information` (or `information_variance`, if smaller) and by `unknown_shift` of
docs/theory.md, T3. Each term is an estimate; the golden one is exact only in a world whose golden replies follow the estimator.

Of a cross-fitted estimator all this holds within each fold; results tell the mean over folds (docs/protocol.md, rule 22).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.information.intervals import Estimate, Replicates, Resampling, number
from remid_jax.information.mutual_information import log_mixture
from remid_jax.information.score_table import Category
from remid_jax.information.self_information import unavailable
from remid_jax.parallel import Devices
from remid_jax.shifts.fold_blocks import unbounded
from remid_jax.theory.bounds.log_cosh import log_cosh_bound, spread

FEWEST_SAMPLES = 4  # a context: two independent halves of at least two
SATURATED_WITHIN, SATURATED_AT_MOST = 0.1, 0.1
SATURATED_FROM = 3  # replies: one or two of a small block may stand there by chance


@dataclasses.dataclass(frozen=True)
class Side:
    """The replies of one category, scored in the contexts of both: columns [n replies, S, contexts of P + contexts of Q]."""

    columns: np.ndarray
    finished: np.ndarray  # bool [n, S]
    first: int  # the number among those contexts of the first reply's own


def side_of(own: np.ndarray, other: np.ndarray, finished: np.ndarray, in_p: bool) -> Side:
    """From blocks [contexts, replies, S] in the replies' own category and in the other one."""
    blocks = (own, other) if in_p else (other, own)
    return Side(np.concatenate(blocks).transpose(1, 2, 0), finished, 0 if in_p else len(other))


@functools.lru_cache(maxsize=8)
def _mixing(devices: Devices) -> Callable:
    """Rows of replies in; own log-likelihood [S] and the log mixtures over P's and Q's contexts [S, R] out."""

    def mix_rows(weights: Float[Array, "2 R N"], rows: dict[str, Array]) -> dict[str, Array]:
        def of_sample(column: Array, own: Array) -> dict[str, Array]:
            def mixture(of_side: Array) -> Array:
                return jax.vmap(lambda w: log_mixture(column, own, w))(of_side)

            return {"own": column[own], "p": mixture(weights[0]), "q": mixture(weights[1])}

        return jax.vmap(jax.vmap(of_sample, (0, None)))(rows["columns"], rows["own"])

    return devices.spread(mix_rows)


@dataclasses.dataclass(frozen=True)
class Gaps:
    """What a category's replies say under every row of weights: nats, [n, R] after the mean over finished samples."""

    to_mixture: np.ndarray  # log own - log M
    halves: tuple[np.ndarray, np.ndarray]  # the same over either half of the samples
    to_p: np.ndarray  # log P_Y - log M
    to_q: np.ndarray  # log Q_Y - log M
    to_own: np.ndarray  # log own - log of the own category's mixture


def gaps(side: Side, weights: np.ndarray, is_p: np.ndarray, devices: Devices) -> Gaps:
    """`weights` [R, N] over all contexts, `is_p` [N] tells whose they are."""
    count = len(side.columns)
    own = side.first + np.arange(count)
    shared = np.stack([weights * is_p, weights * ~is_p])
    found = devices.map_rows(_mixing(devices), shared, {"columns": side.columns, "own": own})
    log_m = np.logaddexp(found["p"], found["q"]) - np.log(2)
    mine = found["p"] if side.first == 0 else found["q"]
    logs = found["own"][:, :, None]

    def mean(values: np.ndarray, of: slice = slice(None)) -> np.ndarray:
        counted = side.finished[:, of, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (counted * values[:, of]).sum(1) / counted.sum(1)

    half = side.columns.shape[1] // 2
    above = logs - log_m
    halves = (mean(above, slice(0, half)), mean(above, slice(half, None))) if half else (mean(above), mean(above))
    return Gaps(mean(above), halves, mean(found["p"] - log_m), mean(found["q"] - log_m), mean(logs - mine))


def saturated(own_gap: np.ndarray, contexts: int) -> str | None:
    """Why a mixture may not enter g: log n, its ceiling with a reply's own context among the candidates, is reached and never
    passed. A left-out mixture has no ceiling, so it is never refused."""
    ceiling = np.log(contexts)
    near = own_gap > ceiling - SATURATED_WITHIN
    if near.sum() >= SATURATED_FROM and near.mean() > SATURATED_AT_MOST and own_gap.max() <= ceiling + 1e-9:
        return f"{near.mean():.0%} of the replies stand at log n, the ceiling of a mixture that includes their own context"
    return None


def missing(reference: str, of_id: Category, category: Category) -> str | None:
    """Why a category has no bound; None when it has one."""
    if (reason := unbounded(reference, of_id.folds, category.folds)) is not None:
        return reason
    for name, side in ((reference, of_id), ("the category", category)):
        if side.golden is None:
            return f"{name}: {side.no_golden}"
        scores = side.self_scores
        if (reason := unavailable(None if scores is None else scores.truncated, side.horizon)) is not None:
            return f"{name}: {reason}"
        if scores is None or scores.loglik is None:
            return f"{name}: its samples were not scored"
        if scores.tokens.shape[1] < FEWEST_SAMPLES:
            return f"{scores.tokens.shape[1]} samples a context: two independent halves need {FEWEST_SAMPLES}"
    if category.cross is None:
        return f"its replies were not scored in the contexts of {reference}, nor the reverse"
    return None


@functools.lru_cache(maxsize=8)
def _bounding(devices: Devices) -> Callable:
    """Rows of replicates in (g, its halves, weights m of contexts, divergence), the parts of the bounds out."""

    def bound_rows(_: tuple, rows: dict[str, Array]) -> dict[str, Array]:
        def at(row: dict[str, Array]) -> dict[str, Array]:
            m = row["m"]
            halves = [half - m @ half for half in row["halves"]]
            variance = jnp.maximum(m @ (halves[0] * halves[1]), 0)
            by_variance = jnp.sqrt(8 * variance * row["divergence"])
            return {
                "variance": variance,
                "by_variance": by_variance,
                "by_law": log_cosh_bound(row["g"], m, row["divergence"]).value,
                "spread": spread(row["g"], m)[0],
            }

        return jax.vmap(at)(rows)

    return devices.spread(bound_rows)


@dataclasses.dataclass(frozen=True)
class Bounded:
    """The bounds of one category under one estimator, and what they are made of."""

    values: dict[str, Replicates]  # emid, shift, output, plug_in, unknown_shift, variance, ...
    g: np.ndarray  # [2n], contexts of the reference first
    left_out: int  # contexts without a sample that is an event in both halves


def bound(
    sides: Mapping[str, tuple[Side, Side]], lineages: tuple[np.ndarray, np.ndarray], divergence: Replicates | None,
    resampling: Resampling, devices: Devices,
) -> Bounded | str:  # fmt: skip
    """The bounds from `sides` {"policy", "golden"}: (replies of the reference, replies of the category); or why there are none.

    `divergence` estimates D_JS(P_X || Q_X); without it there is no `plug_in`.
    """
    lineage = np.concatenate(lineages)
    is_p = np.arange(len(lineage)) < len(lineages[0])
    weights = resampling.weights(lineage)
    policy, golden = (tuple(gaps(side, weights, is_p, devices) for side in sides[name]) for name in ("policy", "golden"))
    for of in (*policy, *golden):
        if reason := saturated(of.to_own[:, 0], len(of.to_own)):
            return reason

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts).T  # [R, N]

    g = joined([a.to_mixture - b.to_mixture for a, b in zip(policy, golden, strict=True)])
    halves = [joined([a.halves[h] - b.to_mixture for a, b in zip(policy, golden, strict=True)]) for h in (0, 1)]
    known = np.isfinite(halves[0][0]) & np.isfinite(halves[1][0])
    counted = weights * known
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = ((counted * side) / (counted * side).sum(1, keepdims=True) for side in (is_p, ~is_p))
    g, halves = np.where(known, g, 0.0), [np.where(known, half, 0.0) for half in halves]

    def mean(side: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
        return (side * np.where(known, joined(parts), 0.0)).sum(1)

    def output(of: tuple[Gaps, ...]) -> np.ndarray:
        """KL(Q_Y || M) - KL(P_Y || M) under every row of weights."""
        return mean(q, [gap.to_q for gap in of]) - mean(p, [gap.to_p for gap in of])

    terms = {"shift": ((p - q) * g).sum(1), "output_policy": output(policy), "output_golden": -output(golden)}
    for name, replies in (("policy", policy), ("golden", golden)):
        terms[f"kl_{name}"] = mean(q, [gap.to_q - gap.to_p for gap in replies])  # KL(Q_Y || P_Y)
    terms["output"] = terms["output_policy"] + terms["output_golden"]
    terms["emid"] = terms["shift"] + terms["output"]
    local = np.full(len(weights), np.log(2)) if divergence is None else resampling.local(divergence, lineage)
    usable = np.isfinite(p).all(1) & np.isfinite(q).all(1) & np.isfinite(local)
    rows = {"g": g, "halves": np.stack(halves, 1), "m": (p + q) / 2, "divergence": local}
    parts = devices.map_rows(_bounding(devices), (), {name: array[usable] for name, array in rows.items()})
    for name, values in parts.items():
        terms[name] = np.full(len(weights), np.nan)
        terms[name][usable] = values
    terms["unknown_shift"] = terms["spread"] + terms["output"]
    if divergence is None:
        terms = {name: values for name, values in terms.items() if name not in ("by_law", "by_variance")}
    else:
        terms["plug_in_shift"] = np.minimum(terms["by_law"], terms["by_variance"])
        terms["plug_in"] = terms["plug_in_shift"] + terms["output"]
    found = {name: resampling.replicates([(values, lineage)]) for name, values in terms.items()}
    return Bounded(found, g[0], int((~known).sum()))


def section(
    averages: Mapping[str, Replicates], of_blocks: Sequence[Bounded], divergence: Replicates | None, n: int, level: float
) -> dict[str, object]:
    """The averages over blocks of `n` contexts a side, JSON-ready: the measured self EMID = shift + output, both bounds = their
    own shift + the same output, and their parts:

    {"emid", "shift", "output": {"sum", "policy", "golden"}, "variance", "output_divergence": {"policy", "golden"} (each
    KL(Q_Y || P_Y)), "unknown_shift": {"bound", "shift"}, "plug_in": {"bound", "shift", "by_law_of_g", "by_variance",
    "divergence"}, "contexts_left_out", "blocks"}: numbers in nats per response, the variance in nats^2.
    """

    def told(name: str) -> Estimate:
        return number(averages[name], unit="response", estimator="bound", n=n, level=level)

    found: dict[str, object] = {
        "emid": told("emid"),
        "shift": told("shift"),
        "output": {"sum": told("output"), "policy": told("output_policy"), "golden": told("output_golden")},
        "variance": told("variance"),
        "unknown_shift": {"bound": told("unknown_shift"), "shift": told("spread")},
        "output_divergence": {"policy": told("kl_policy"), "golden": told("kl_golden")},
        "contexts_left_out": sum(of.left_out for of in of_blocks),
        "blocks": len(of_blocks),
    }
    if divergence is None:
        return found | {"plug_in": {"reason": "the texts of the contexts were not embedded, so D_JS is not known"}}
    plug_in = {name: told(of_bound) for name, of_bound in (("bound", "plug_in"), ("shift", "plug_in_shift"))}
    plug_in |= {"by_law_of_g": told("by_law"), "by_variance": told("by_variance")}
    plug_in["divergence"] = number(divergence, unit="nats", estimator="bound", n=n, level=level)
    return found | {"plug_in": plug_in}
