"""The risk that in-distribution data alone predict: the worst self EMID over a ball of shifts around a reference, as IDTest is.

The theorem is docs/theory.md, T6; the choices are docs/protocol.md, rule 14.

g is the gradient of the self EMI at the reference's own contexts: log own - log mean of the other contexts, of the policy's
samples under its own kernel minus the same of golden replies under the estimator. Samples only widen g, so its noise errs
on the side of caution; every figure is an estimate, and none says anything about shifts outside its own contexts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.information.intervals import Estimate, Replicates, Resampling, number
from remid_jax.information.mutual_information import log_mixture
from remid_jax.information.score_table import FACTORS, Category
from remid_jax.parallel import Devices
from remid_jax.shifts.bounds import Side, gaps, saturated
from remid_jax.shifts.fold_blocks import average_of_blocks
from remid_jax.theory.bounds.attack import attack
from remid_jax.theory.bounds.balls import BALLS
from remid_jax.theory.bounds.risk import Gradient, risk

RADII = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.69)
"""Nats of each ball's own divergence (balls.py); 0.69 is as far as a Jensen-Shannon ball goes."""


@functools.lru_cache(maxsize=8)
def _risking(devices: Devices) -> Callable:
    """Rows of replicates of a structured gradient in, `value` and `linear` [balls, radii] out."""

    def risk_rows(radii: Float[Array, " K"], rows: Gradient) -> dict[str, Array]:
        def at(of: Gradient) -> dict[str, Array]:
            found = {ball: jax.vmap(lambda rho, ball=ball: risk(ball, of, rho))(radii) for ball in BALLS}
            return {part: jnp.stack([getattr(found[ball], part) for ball in BALLS]) for part in ("value", "linear")}

        return jax.vmap(at)(rows)

    return devices.spread(risk_rows)


def grouping(identities: dict[str, np.ndarray], shift: str) -> np.ndarray | str:
    """The group of each context [n] for pure shifts of one factor, or why the contexts cannot tell such a shift apart."""
    if "user" not in identities or "character" not in identities:
        return "the users and characters of the contexts are not known"
    codes = {factor: np.unique(names, return_inverse=True)[1] for factor, names in identities.items()}
    groups = codes["user"] * (codes["character"].max() + 1) + codes["character"] if shift == "dialogue" else codes[shift]
    groups = np.unique(groups, return_inverse=True)[1]
    if groups.max() + 1 == len(groups):
        what = "pair of user and character" if shift == "dialogue" else shift
        return f"every context has a {what} of its own"
    return groups


def structured_rows(g_theta: np.ndarray, g_golden: np.ndarray, p: np.ndarray, shift: str, groups: np.ndarray) -> Gradient:
    """The gradient [R, groups, contexts] of pure shifts (see `bounds.risk.structured`) from arrays [R, n]."""
    count = int(groups.max()) + 1
    if shift == "dialogue":
        sizes = np.bincount(groups)
        place = np.array([np.sum(groups[:i] == group) for i, group in enumerate(groups)])
        shape = (len(p), count, int(sizes.max()))
        parts = [np.zeros(shape) for _ in range(3)]
        for part, values in zip(parts, (g_theta, g_golden, p), strict=True):
            part[:, groups, place] = values
        return Gradient(*parts)  # type: ignore[arg-type]  # host arrays until they are placed
    members = np.eye(count)[groups]
    law = p @ members
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [np.where(law > 0, (p * values) @ members / law, 0.0) for values in (g_theta, g_golden)]
    return Gradient(*(part[:, None] for part in (*means, law)))


@dataclasses.dataclass(frozen=True)
class Curves:
    """The risk of one block of contexts.

    Attributes:
      values: "emi", and by "ball/part/radius" the curves for any shift; for pure shifts of a factor with "factor/" before it.
      attack: by ball, what reweighting finds at each radius; None where it rests on fewer than half of the contexts.
      reasons: by factor, why there are no curves of its pure shifts.
    """

    values: dict[str, Replicates]
    attack: dict[str, list[float | None]]
    reasons: dict[str, str]


def section(
    of_id: Category, scorer: str, blocks: Sequence[tuple[float, np.ndarray]], resampling: Resampling, devices: Devices,
    level: float,
) -> dict[str, object]:  # fmt: skip
    """{"radii", "emi", "balls": {ball: {"risk", "linear": [number per radius], "attack": [nats]}}, "structured"} or {"reason"}.

    Everything is the mean over `blocks` (share, contexts), all of one size; `resampling` deletes lineages. An attack that rests
    on fewer than half of the contexts of a block is null: left-out mixtures of so few are no longer those of a law.
    """
    found = [curves(of_id, scorer, chosen, resampling, devices) for _, chosen in blocks]
    if reasons := [of for of in found if isinstance(of, str)]:
        return {"reason": reasons[0]}
    of_blocks, shares, n = [of for of in found if isinstance(of, Curves)], [share for share, _ in blocks], len(blocks[0][1])
    kept = set.intersection(*(set(of.values) for of in of_blocks))
    averages = average_of_blocks([{name: of.values[name] for name in of.values if name in kept} for of in of_blocks], shares)

    def told(name: str) -> Estimate:
        return number(averages[name], unit="response", estimator="risk", n=n, level=level)

    def balls(factor: str) -> dict[str, dict[str, list[object]]]:
        return {
            ball: {part: [told(f"{factor}{ball}/{part}/{k}") for k in range(len(RADII))] for part in ("risk", "linear")}
            for ball in BALLS
        }

    of_any = balls("")
    for ball in BALLS:
        of_radius = zip(*(of.attack[ball] for of in of_blocks), strict=True)
        of_any[ball]["attack"] = [_average(attacks, shares) for attacks in of_radius]
    structured: dict[str, object] = {}
    for factor in FACTORS:
        refused = [of.reasons[factor] for of in of_blocks if factor in of.reasons]
        structured[factor] = {"reason": refused[0]} if refused else {"balls": balls(f"{factor}/")}
    return {"radii": list(RADII), "emi": told("emi"), "balls": of_any, "structured": structured, "blocks": len(blocks)}


def _average(attacks: Sequence[float | None], shares: Sequence[float]) -> float | None:
    found = [share * attack for share, attack in zip(shares, attacks, strict=True) if attack is not None]
    return sum(found) if len(found) == len(attacks) else None


def curves(of_id: Category, scorer: str, chosen: np.ndarray, resampling: Resampling, devices: Devices) -> Curves | str:
    """Returns the risk from the contexts `chosen` alone, or why there is none."""
    scores = of_id.self_scores
    assert scores is not None
    assert scores.loglik is not None
    block, lineage, n = np.ix_(chosen, chosen), of_id.lineage[chosen], len(chosen)
    weights = resampling.weights(lineage)
    own = scores.loglik[block]
    golden = of_id.replies["golden"].loglik[scorer][block][..., None]
    events = of_id.sampled_events[chosen]
    policy, gold = (
        _to_own(Side(scored.transpose(1, 2, 0), counted, 0), weights, devices)
        for scored, counted in ((own, events), (golden, np.ones((n, 1), bool)))
    )
    for of in (policy, gold):
        if reason := saturated(of[:, 0], n):
            return reason
    known = np.isfinite(policy[:, 0])
    counted = weights * known
    g_theta, g_golden = (np.where(known, of.T, 0.0) for of in (policy, gold))
    values: dict[str, np.ndarray] = {}
    with np.errstate(invalid="ignore", divide="ignore"):  # deleting one of two lineages leaves no other context to mix
        p = counted / counted.sum(1, keepdims=True)
        values["emi"] = (p * (g_theta - g_golden)).sum(1)

    def solve(rows: Gradient) -> dict[str, np.ndarray]:
        found = devices.map_rows(_risking(devices), np.array(RADII), rows)
        return {
            f"{ball}/{part}/{k}": found[name][:, i, k]
            for part, name in (("risk", "value"), ("linear", "linear"))
            for i, ball in enumerate(BALLS)
            for k in range(len(RADII))
        }

    of_any = solve(Gradient(*(part[:, None] for part in (g_theta, g_golden, p))))  # type: ignore[arg-type]
    values |= of_any
    attacked, effective = _attacks(jnp.asarray(own), jnp.asarray(events, float), jnp.asarray(golden), jnp.asarray(p[0]))
    attack: dict[str, list[float | None]] = {}
    for i, ball in enumerate(BALLS):
        pairs = zip(attacked[i], effective[i], strict=True)
        attack[ball] = [float(found) if contexts >= n / 2 else None for found, contexts in pairs]
    reasons = {}
    identities = {factor: names[chosen] for factor, names in of_id.identities.items()}
    for factor in FACTORS:
        groups = grouping(identities, factor)
        if isinstance(groups, str):
            reasons[factor] = groups
            continue
        of_pure = solve(structured_rows(g_theta, g_golden, p, factor, groups))
        # Omega (docs/theory.md, T6 (d)) is concave in g: of a mean g it may exceed that of any shift, which holds too.
        values |= {f"{factor}/{name}": np.minimum(of_pure[name], of_any[name]) for name in of_any}
    return Curves({name: resampling.replicates([(of, lineage)]) for name, of in values.items()}, attack, reasons)


def _to_own(side: Side, weights: np.ndarray, devices: Devices) -> np.ndarray:
    """log own - log of the mean of the other contexts, [n, R]."""
    with np.errstate(invalid="ignore"):  # there are no contexts of another category to mix
        return gaps(side, weights, np.ones(weights.shape[1], bool), devices).to_own


@jax.jit
def _attacks(
    own: Float[Array, "n n S"], finished: Float[Array, "n S"], golden: Float[Array, "n n 1"], p: Float[Array, " n"]
) -> tuple[Float[Array, "balls radii"], Float[Array, "balls radii"]]:
    """The worst self EMID that reweighting the contexts finds, per ball and radius, and 1/sum w^2 contexts that it rests on."""
    contexts = jnp.arange(own.shape[0])

    def information(block: Array, counted: Array, law: Array) -> Array:
        """mean_law over replies of log own - log of the law's mixture of the other contexts."""

        def of_reply(columns: Array, i: Array) -> Array:
            return jax.vmap(lambda column: column[i] - log_mixture(column, i, law))(columns.T)

        gaps = jax.vmap(of_reply, (1, 0))(block, contexts)
        return law @ ((gaps * counted).sum(1) / jnp.maximum(counted.sum(1), 1))

    @jax.jit  # traced once for all balls
    def emi(density: Array) -> Array:
        law = p * density[0]
        return information(own, finished, law) - information(golden, jnp.ones_like(golden[0]), law)

    def worst(ball: str, rho: Array) -> tuple[Array, Array]:
        found = attack(emi, ball, p[None], rho)
        return found.emid, 1 / ((p * found.density[0]) ** 2).sum()

    radii = jnp.array(RADII)
    found = [jax.lax.map(functools.partial(worst, ball), radii) for ball in BALLS]
    return jnp.stack([emid for emid, _ in found]), jnp.stack([effective for _, effective in found])
