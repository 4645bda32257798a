"""Coverage of intervals, and bias and RMSE of estimators, over many tables drawn from three fixed worlds of 400 contexts.

Golden replies follow p(y|x), the estimator is q(y|x). In half of the contexts the policy answers by p, in 1 of 10 cases by p's
marginal; in the other half in 5 of 10. IDTest draws contexts evenly, the shifted category the harder ones three times as often
as the easy ones, with a random tilt besides, so it loses. An interval is asked to cover its own population value: for `club`
the exact sum E_xy log q - E_x E_y log q; for the others, whose expectation may depend on n and on how a critic is fitted, the
mean of the very estimator over many more tables.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from remid_jax.information import calibration
from remid_jax.information.intervals import NEVER, VALIDATED_FROM
from remid_jax.information.measurement import ESTIMATORS
from remid_jax.information.mutual_information import (
    club,
    leave_one_out,
    mismatched_pairs,
    mixture,
    mixture_term,
    prompt_marginal,
)

Report = Callable[[int, int], None]

CONTEXTS = 400
SIZES = (8, 16, 32, 64)
SMOOTHINGS, BIAS_SIZES = (0.0, 0.1, 0.3, 0.6), (16, 64)  # of the study of bias
PAIRS_COMPARED = (100, 400, 1600, 9900)
PAIRS = 100_000  # of `club`, as the product takes by default: all of them here
AT_ONCE = 50  # tables in memory together
POPULATION_TABLES = 4  # times as many tables as replications give the population value of all but `club`


@dataclasses.dataclass(frozen=True)
class Channel:
    """A fixed world of the study: kernels [contexts, replies] and the laws of contexts of IDTest and of the category."""

    name: str
    meaning: str
    golden: np.ndarray
    critic: np.ndarray
    policy: np.ndarray
    laws: tuple[np.ndarray, np.ndarray]

    @property
    def information(self) -> float:
        """I(X; Y) of golden replies in IDTest, nats."""
        marginal = self.laws[0] @ self.golden
        logs = np.log(np.where(self.golden > 0, self.golden, 1) / np.where(self.golden > 0, marginal, 1))
        return float(self.laws[0] @ (self.golden * logs).sum(1))

    def population_club(self, of: np.ndarray, law: np.ndarray) -> float:
        """E log q(y|x) under law x `of` minus the same under the product of its marginals."""
        logs = np.log(self.critic)
        return float(law @ (of * logs).sum(1) - (law @ logs) @ (law @ of))


def _normal(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum(1, keepdims=True)


def channels() -> dict[str, Channel]:
    """`calm`: the critic is right; `misjudged`: it is flatter than the truth; `heavy`: replies up to 23 nats too unlikely."""
    rng = np.random.default_rng(2512)
    hard = np.arange(CONTEXTS) % 2 == 1
    tilted = rng.dirichlet(np.full(CONTEXTS, 2.0)) * np.where(hard, 3.0, 1.0)
    laws = (np.full(CONTEXTS, 1 / CONTEXTS), tilted / tilted.sum())
    calm = rng.dirichlet(np.full(12, 1.3), CONTEXTS)
    misjudged = rng.dirichlet(np.full(12, 0.25), CONTEXTS)
    heavy = rng.dirichlet(np.full(60, 0.04), CONTEXTS)
    worlds = {
        "calm": ("q = p", calm, calm),
        "misjudged": ("q flatter than p", misjudged, _normal(misjudged**0.6 + 0.02)),
        "heavy": ("q = p with tails of 23 nats", heavy, _normal(heavy + 1e-10)),
    }
    found = {}
    for name, (meaning, golden, critic) in worlds.items():
        share = np.where(hard, 0.5, 0.1)[:, None]
        policy = (1 - share) * golden + share * golden.mean(0)
        found[name] = Channel(name, meaning, golden, critic, policy, laws)
    return found


def draw_tables(of: Channel, n: int, tables: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """log q [tables, 4, n contexts, n replies] of golden and policy replies of IDTest and of the category, in this order, and
    log q_0 of the same replies [tables, 4, n], q_0 the mean of q over IDTest's contexts."""
    logs, nowhere = np.log(of.critic), np.log(of.laws[0] @ of.critic)
    scores, marginals = np.empty((tables, 4, n, n)), np.empty((tables, 4, n))
    for side, law in enumerate(of.laws):
        x = rng.choice(CONTEXTS, (tables, n), p=law)
        for replies, kernel in enumerate((of.golden, of.policy)):
            drawn = (rng.random((tables, n, 1)) > kernel.cumsum(1)[x]).sum(-1).clip(max=kernel.shape[1] - 1)
            scores[:, 2 * side + replies] = logs[x[:, :, None], drawn[:, None, :]]
            marginals[:, 2 * side + replies] = nowhere[drawn]
    return scores, marginals


def _fold(n: int) -> np.ndarray:
    return np.arange(n) % 2


def _scales(matrices: Float[Array, "4 n n"], fold: np.ndarray) -> Float[Array, "2"]:
    """As `measurement` fits them: on the golden replies of both categories, for replies of either fold."""
    golden = matrices[::2]
    return jnp.stack([
        calibration.scale(golden, jnp.broadcast_to(jnp.asarray(fold != f, matrices.dtype), golden.shape[:2])) for f in (0, 1)
    ])  # fmt: skip


def _estimates(n: int, matrices: Float[Array, "4 n n"], nowhere: Float[Array, "4 n"]) -> dict[str, Float[Array, "4"]]:
    """Every estimator of every category and kind of reply."""
    pairs, ones, fold = jnp.asarray(mismatched_pairs(n, PAIRS, 0)), jnp.ones(n), _fold(n)
    scales = _scales(matrices, fold)
    return {
        "club": jnp.stack([club(matrix, ones, pairs) for matrix in matrices]),
        "mixture": jnp.stack([mixture(calibration.critic(matrix, jnp.asarray(fold), scales), ones) for matrix in matrices]),
        "mixture_raw": jnp.stack([mixture(matrix, ones) for matrix in matrices]),
        "leave_one_out": jnp.stack([leave_one_out(matrix, ones) for matrix in matrices]),
        "prompt_marginal": jnp.stack([prompt_marginal(*of, ones) for of in zip(matrices, nowhere, strict=True)]),
    }


@functools.lru_cache(maxsize=8)
def estimated(n: int) -> Callable[..., dict[str, Float[Array, "tables 4"]]]:
    return jax.jit(jax.vmap(functools.partial(_estimates, n)))


@functools.lru_cache(maxsize=8)
def replicated(n: int) -> Callable[..., dict[str, Float[Array, "tables 4 1+n"]]]:
    """Every estimator with each of its own items deleted, and `elsewhere`, the mixture with an item of the other category
    deleted, which moves the scale of the critic. As `measurement.measure` does."""
    fold = _fold(n)
    weights = jnp.concatenate([jnp.ones((1, n)), 1 - jnp.eye(n)])
    pairs = jnp.asarray(mismatched_pairs(n, PAIRS, 0))

    def at(matrices: Array, nowhere: Array) -> dict[str, Array]:
        scales = _scales(matrices, fold)
        moves = []  # [fold, category, 1 + n]: what deleting an item of that category adds to the scale
        for f in (0, 1):
            fitting = jnp.asarray(fold != f, matrices.dtype)
            parts = [calibration.scale_slopes(matrices[2 * c], fitting, scales[f], weights) for c in (0, 1)]
            curvature = parts[0][1] + parts[1][1]
            moves.append(jnp.stack([(slope - slope[0]) / curvature for slope, _ in parts]))
        moved = jnp.stack(moves)
        found: dict[str, list[Array]] = {name: [] for name in (*ESTIMATORS, "elsewhere")}
        for number, (matrix, marginal) in enumerate(zip(matrices, nowhere, strict=True)):
            critic = calibration.critic(matrix, jnp.asarray(fold), scales)
            raised = jnp.stack([
                -scales[f] * calibration.offset_changes(matrix, jnp.asarray(fold != f, matrix.dtype), weights) for f in (0, 1)
            ])  # fmt: skip
            terms = jax.vmap(
                lambda column, own, of_fold: jax.vmap(lambda w, r: mixture_term(column, own, w, r))(weights, of_fold), (1, 0, 0)
            )(critic, jnp.arange(n), raised[fold])
            slopes = calibration.mixture_slopes(critic, scales[fold])
            slope = jnp.stack([jnp.where(fold == f, slopes, 0.0).mean() for f in (0, 1)])
            own, other = number // 2, 1 - number // 2
            base = (weights.T * terms).sum(0) / weights.sum(1)
            found["mixture"].append(base + slope @ moved[:, own])
            found["elsewhere"].append(base[0] + slope @ moved[:, other])
            for name, replicate in (
                ("club", lambda w, matrix=matrix: club(matrix, w, pairs)),
                ("mixture_raw", functools.partial(mixture, matrix)),
                ("leave_one_out", functools.partial(leave_one_out, matrix)),
                ("prompt_marginal", functools.partial(prompt_marginal, matrix, marginal)),
            ):
                found[name].append(jax.vmap(replicate)(weights))
        return {name: jnp.stack(parts) for name, parts in found.items()}

    return jax.jit(jax.vmap(at))


def covered(centre: np.ndarray, deleted: np.ndarray, target: float, level: float = 0.95) -> float:
    """The share of tables whose jackknife interval, from estimates with one cluster deleted [tables, G], holds the target."""
    count = deleted.shape[1]
    error = np.sqrt((count - 1) / count * ((deleted - deleted.mean(1, keepdims=True)) ** 2).sum(1))
    return float(np.mean(np.abs(centre - target) <= stats.t.ppf((1 + level) / 2, count - 1) * error))


def coverage(of: Channel, n: int, replications: int, seed: int, report: Report) -> dict[str, dict[str, float]]:
    """{estimator: {"emi", "emid": coverage, "emi_value", "emid_value": its own population value}}."""
    rng = np.random.default_rng([seed, n])
    parts: list[dict[str, np.ndarray]] = []
    values: list[dict[str, np.ndarray]] = []

    def drawn(step: Callable[..., dict[str, Array]], tables: int) -> dict[str, np.ndarray]:
        found = step(*map(jnp.asarray, draw_tables(of, n, tables, rng)))
        return {name: np.asarray(array) for name, array in found.items()}

    with jax.enable_x64(True):
        for first in range(0, replications, AT_ONCE):
            tables = min(AT_ONCE, replications - first)
            parts.append(drawn(replicated(n), tables))
            values += [drawn(estimated(n), tables) for _ in range(POPULATION_TABLES)]
            report(first + tables, replications)
    whole, targets = (
        {name: np.concatenate([part[name] for part in of_parts]) for name in of_parts[0]} for of_parts in (parts, values)
    )
    population = {name: target.mean(0) for name, target in targets.items()}
    population["club"] = np.array([of.population_club(kernel, law) for law in of.laws for kernel in (of.golden, of.policy)])
    found = {}
    for name, target in population.items():
        array = whole[name]
        emi = [array[:, 1] - array[:, 0], array[:, 3] - array[:, 2]]
        # deleting an item of the other category: only `mixture` sees it, by its critic's scale
        far = [np.repeat(of_category[:, :1], n, axis=1) for of_category in emi]
        if name == "mixture":
            elsewhere = whole["elsewhere"]
            far = [(elsewhere[:, 1] - elsewhere[:, 0])[:, 1:], (elsewhere[:, 3] - elsewhere[:, 2])[:, 1:]]
        of_emi = np.concatenate([emi[0][:, 1:], far[0]], axis=1) if name == "mixture" else emi[0][:, 1:]
        of_emid = np.concatenate([emi[0][:, 1:] - far[1], far[0] - emi[1][:, 1:]], axis=1)
        emi_value, category_value = target[1] - target[0], target[3] - target[2]
        found[name] = {
            "emi": covered(emi[0][:, 0], of_emi, emi_value),
            "emid": covered(emi[0][:, 0] - emi[1][:, 0], of_emid, emi_value - category_value),
            "emi_value": float(emi_value),
            "emid_value": float(emi_value - category_value),
        }
    return found


def smallest_validated(rows: list[dict[str, Any]], low: float = 0.93, high: float = 0.97) -> dict[str, int | None]:
    """For each estimator the smallest n from which on every coverage, of EMI and R-EMID on every channel, is within limits.

    `intervals.VALIDATED_FROM` must not claim less.
    """
    found: dict[str, int | None] = {}
    for estimator in ESTIMATORS:
        of_estimator = [row for row in rows if row["estimator"] == estimator]
        reached = {n: [row[of] for row in of_estimator if row["n"] == n for of in ("emi", "emid")] for n in SIZES}
        good = [n for n, values in reached.items() if values and low <= min(values) and max(values) <= high]
        kept = [n for n in good if all(m in good for m in SIZES if m >= n)]
        found[estimator] = min(kept) if kept else None
    return found


def claims() -> dict[str, int | None]:
    """What the product says it has validated; None: of no number of lineages."""
    return {name: None if VALIDATED_FROM[name] == NEVER else VALIDATED_FROM[name] for name in ESTIMATORS}


def bias(of: Channel, n: int, smoothing: float, tables: int, seed: int) -> dict[str, dict[str, float]]:
    """{estimator: {"mean", "rmse"}} against I(X; Y) of golden replies, nats, the critic mixed with its mean over contexts."""
    blurred = dataclasses.replace(of, critic=(1 - smoothing) * of.critic + smoothing * (of.laws[0] @ of.critic))
    rng = np.random.default_rng([seed, n])
    with jax.enable_x64(True):
        step = estimated(n)
        parts = [step(*map(jnp.asarray, draw_tables(blurred, n, AT_ONCE, rng))) for _ in range(0, tables, AT_ONCE)]
    values = {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
    return {
        name: {"mean": float(of_name.mean()), "rmse": float(np.sqrt(np.mean((of_name - of.information) ** 2)))}
        for name, of_name in values.items()
    }


def spread_by_pairs(of: Channel, n: int, sampled: int, tables: int, seed: int) -> float:
    """The standard deviation of `club` over tables, with so many sampled mismatched pairs; nats."""
    rng = np.random.default_rng([seed, n])
    pairs = jnp.asarray(mismatched_pairs(n, sampled, seed))
    with jax.enable_x64(True):
        step = jax.jit(jax.vmap(lambda matrix: club(matrix, jnp.ones(n), pairs)))
        values = [step(jnp.asarray(draw_tables(of, n, AT_ONCE, rng)[0][:, 0])) for _ in range(0, tables, AT_ONCE)]
    return float(np.concatenate([np.asarray(value) for value in values]).std())
