"""Coverage of multi-way intervals on worlds in which users and characters are crossed and both have effects of their own.

A context is a point x = a_user + b_character + e of R^4, all normal; golden replies are x plus noise, the policy's (1 - d) x
plus noise, where d = d_0 + effects of the user, of the character and of their pair. q(y|x) is proportional to
exp(-|y - x|^2 / 2). So EMI by `club` is known: with r the mean of x . x' over the mismatched pairs of a design, some of which
share their user or character,

    EMI = -d_0 (E |x|^2 - r).

The shifted category has the same users, other characters and a larger d_0. A design says which users meet which characters. An
interval is asked to cover the estimator's own expectation for that design, of `club` the exact one, of others their mean over
many more tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.information.intervals import CROSSED_FROM, NEVER, Replicates, Resampling, difference, interval

Report = Callable[[int, int], None]

ESTIMATED = ("club", "prompt_marginal", "mixture_raw", "leave_one_out")
DIMENSIONS = 4
CONTEXT = (0.5, 0.5, 0.5)  # variances of a, b and e in each dimension
NOISE = 0.5  # of replies, a variance
LOSSES = (0.2, 0.4)  # d_0 of IDTest and of the shifted category
AT_ONCE = 50  # tables in memory together
POPULATION_TABLES = 4  # times as many tables as replications give the population value of all but `club`
WAYS = ("both", "user", "character", "record")
"""Clusters of intervals that are compared: of both kinds, of one alone, none."""


@dataclasses.dataclass(frozen=True)
class CrossedWorld:
    """Standard deviations of the policy's effects d, of users, characters and pairs; `tails`: t of 5 degrees of freedom."""

    meaning: str
    user: float
    character: float
    pair: float
    tails: bool = False


WORLDS = {
    "both": CrossedWorld("users, characters and pairs alike", 0.2, 0.2, 0.2),
    "users": CrossedWorld("users above all", 0.3, 0.05, 0.1),
    "pairs": CrossedWorld("pairs alone", 0.0, 0.0, 0.3),
    "heavy": CrossedWorld("users and characters, tails of t(5)", 0.2, 0.2, 0.1, tails=True),
}


@dataclasses.dataclass(frozen=True)
class CrossedDesign:
    """Which user meets which character: every one, or each user as many characters as `each`, balanced."""

    users: int
    characters: int
    each: int

    @property
    def name(self) -> str:
        return f"{self.users} x {self.characters}, {self.users * self.each} records"

    @property
    def fewest(self) -> int:
        """Clusters of the kind with fewest."""
        return min(self.users, self.characters)

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The user and the character of each record [n]."""
        steps = np.arange(self.each) ** 2 % self.characters if self.each < self.characters else np.arange(self.characters)
        assert len(set(steps.tolist())) == self.each
        user = np.repeat(np.arange(self.users), self.each)
        return user, (user + np.tile(steps, self.users)) % self.characters

    def related(self) -> tuple[float, float]:
        """Shares of the mismatched pairs of records that have the same user, and the same character."""
        n = self.users * self.each
        shares = [((of[:, None] == of).sum() - n) / (n * (n - 1)) for of in self.pairs]
        return float(shares[0]), float(shares[1])


DESIGNS = tuple(
    CrossedDesign(*sizes) for sizes in ((8, 5, 5), (16, 4, 4), (8, 8, 8), (16, 8, 8), (16, 16, 4), (32, 16, 4), (32, 32, 5))
)


def population_club(design: CrossedDesign) -> tuple[float, float]:
    """Returns EMI by `club` of IDTest and of the shifted category, nats a response."""
    same_user, same_character = design.related()
    of_users, of_characters, of_pairs = CONTEXT
    spread = of_users * (1 - same_user) + of_characters * (1 - same_character) + of_pairs
    return -LOSSES[0] * DIMENSIONS * spread, -LOSSES[1] * DIMENSIONS * spread


def draw_tables(
    of: CrossedWorld, design: CrossedDesign, tables: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns log q [tables, 4, n contexts, n replies] of golden and policy replies of IDTest and of the category, in this
    order, and log q_0 of the same replies [tables, 4, n], q_0 the normal law of IDTest's replies."""
    user, character = design.pairs
    n = len(user)
    scores, marginals = np.empty((tables, 4, n, n)), np.empty((tables, 4, n))

    def effects(*shape: int) -> np.ndarray:
        return rng.standard_t(5, shape) * np.sqrt(3 / 5) if of.tails else rng.normal(size=shape)

    a = rng.normal(0, np.sqrt(CONTEXT[0]), (tables, design.users, DIMENSIONS))
    of_user = of.user * effects(tables, design.users)
    for side, loss in enumerate(LOSSES):
        b = rng.normal(0, np.sqrt(CONTEXT[1]), (tables, design.characters, DIMENSIONS))
        x = a[:, user] + b[:, character] + rng.normal(0, np.sqrt(CONTEXT[2]), (tables, n, DIMENSIONS))
        of_character = of.character * effects(tables, design.characters)
        lost = loss + of_user[:, user] + of_character[:, character] + of.pair * effects(tables, n)
        for replies, share in enumerate((np.ones_like(lost), 1 - lost)):
            y = share[..., None] * x + rng.normal(0, np.sqrt(NOISE), x.shape)
            gaps = (x**2).sum(-1)[:, :, None] + (y**2).sum(-1)[:, None] - 2 * x @ y.swapaxes(1, 2)
            variance = sum(CONTEXT) + NOISE
            scores[:, 2 * side + replies] = -gaps / 2
            marginals[:, 2 * side + replies] = -(y**2).sum(-1) / (2 * variance) - DIMENSIONS / 2 * np.log(variance)
    return scores, marginals


def replicated(loglik: np.ndarray, marginal: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Returns {estimator: [..., R]} of matrices [..., n, n] and marginals [..., n] under weights [R, n] of 0 and 1.

    They are those of `information.mutual_information` with all mismatched pairs.
    """
    own = np.diagonal(loglik, axis1=-2, axis2=-1)
    total = weights.sum(axis=1)
    mean = own @ weights.T / total
    everything = ((weights @ loglik) * weights).sum(-1)
    others = np.exp(loglik - own[..., None, :]) * (1 - np.eye(loglik.shape[-1]))
    summed = weights @ others  # [..., R, n]
    beside = total[:, None] - weights
    with np.errstate(divide="ignore"):
        mixed = np.log(1 + beside) - np.log1p(summed)
        left_out = np.log(beside) - np.log(summed)
    return {
        "club": mean - (everything - own @ weights.T) / (total * (total - 1)),
        "prompt_marginal": mean - marginal @ weights.T / total,
        "mixture_raw": (weights * mixed).sum(-1) / total,
        "leave_one_out": (weights * left_out).sum(-1) / total,
    }


def clusters_of(design: CrossedDesign, way: str) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Returns the lineages of both categories and their clusters, as `Resampling.of` takes them."""
    user, character = design.pairs
    lineages, clusters = {}, {}
    for name in ("IDTest", "category"):
        of_kinds = {
            "user": np.array([f"user {u}" for u in user]),
            "character": np.array([f"{name} character {c}" for c in character]),
        }
        lineages[name] = np.array([f"{name} {u} {c}" for u, c in zip(user, character, strict=True)])
        clusters[name] = {kind: of for kind, of in of_kinds.items() if way in ("both", kind)}
    return lineages, clusters


def coverage(
    of: CrossedWorld, design: CrossedDesign, replications: int, seed: int, report: Report, ways: Sequence[str] = WAYS
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns {way: {estimator: found}} for nominal 95% intervals; `found` has for "emi" of IDTest and for "emid" the coverage,
    and the mean half width under "emi_half" and "emid_half"."""
    rng = np.random.default_rng([seed, design.users, design.characters, design.each])
    lineages = {way: clusters_of(design, way) for way in ways}
    resampling = {way: Resampling.of(of_way[0], 0, 0, of_way[1]) for way, of_way in lineages.items()}
    ends: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    means: list[dict[str, np.ndarray]] = []
    n = len(design.pairs[0])
    for first in range(0, replications, AT_ONCE):
        tables = min(AT_ONCE, replications - first)
        scores, marginals = draw_tables(of, design, tables, rng)
        for way in ways:
            rows = {name: resampling[way].weights(of_category) for name, of_category in lineages[way][0].items()}
            sides = [
                replicated(scores[:, k : k + 2], marginals[:, k : k + 2], rows[name])
                for k, name in ((0, "IDTest"), (2, "category"))
            ]
            for estimator in ESTIMATED:
                for table in range(tables):
                    emi = [
                        _emi(side[estimator][table], resampling[way], lineages[way][0][name])
                        for side, name in zip(sides, lineages[way][0], strict=True)
                    ]
                    for quantity, replicates in (("emi", emi[0]), ("emid", difference(*emi))):
                        told = interval(replicates, estimator, 0.95)
                        assert told["low"] is not None
                        assert told["high"] is not None
                        ends.setdefault((way, estimator, quantity), []).append((told["low"], told["high"]))
        for _ in range(POPULATION_TABLES):
            found = replicated(*draw_tables(of, design, tables, rng), np.ones((1, n)))
            means.append({name: values[..., 0] for name, values in found.items()})
        report(first + tables, replications)
    result: dict[str, dict[str, dict[str, float]]] = {way: {name: {} for name in ESTIMATED} for way in ways}
    for (way, estimator, quantity), told_ends in ends.items():
        value = np.concatenate([of_tables[estimator] for of_tables in means]).mean(axis=0)
        sides_of = population_club(design) if estimator == "club" else (value[1] - value[0], value[3] - value[2])
        target = sides_of[0] if quantity == "emi" else sides_of[0] - sides_of[1]
        low, high = np.array(told_ends).T
        result[way][estimator] |= {
            quantity: float(np.mean((low <= target) & (target <= high))),
            f"{quantity}_half": float(np.mean(high - low) / 2),
        }
    return result


def _emi(values: np.ndarray, resampling: Resampling, lineage: np.ndarray) -> Replicates:
    """Of golden and policy replies [2, R]."""
    golden, policy = (resampling.replicates([(of, lineage)]) for of in values)
    return difference(policy, golden)


def study(world: str, replications: int, seed: int, report: Report) -> list[dict[str, Any]]:
    """Returns a row a design, way and estimator: {"design", "fewest", "way", "estimator"} and what `coverage` finds.

    All ways are compared where every user meets every character, on the smallest design; elsewhere clusters are of both kinds.
    """
    rows: list[dict[str, Any]] = []
    for number, design in enumerate(DESIGNS):

        def advance(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(DESIGNS) * total)

        ways = WAYS if number == 0 else WAYS[:1]
        for way, of_way in coverage(WORLDS[world], design, replications, seed, advance, ways).items():
            named = {"design": design.name, "fewest": design.fewest, "way": way}
            rows += [{**named, "estimator": estimator, **found} for estimator, found in of_way.items()]
    return rows


def smallest_validated(rows: Sequence[Mapping[str, Any]], low: float = 0.93, high: float = 0.97) -> dict[str, int | None]:
    """For each estimator the fewest clusters of a kind from which on every coverage over both kinds is within limits.

    `intervals.CROSSED_FROM` must not claim less.
    """
    found: dict[str, int | None] = {}
    for estimator in ESTIMATED:
        here = [row for row in rows if row["estimator"] == estimator and row["way"] == "both"]
        bad = [
            row["fewest"] for row in here if not (low <= min(row["emi"], row["emid"]) and max(row["emi"], row["emid"]) <= high)
        ]
        good = [row["fewest"] for row in here if row["fewest"] > max(bad, default=0)]
        found[estimator] = min(good, default=None)
    return found


def claims() -> dict[str, int | None]:
    """What the product says it has validated; None: of no number of clusters."""
    return {name: None if CROSSED_FROM[name] == NEVER else CROSSED_FROM[name] for name in ESTIMATED}
