"""Coverage of the intervals of what replies say beyond copying: novel club, identified and misplaced_equivalent.

Three worlds of 400 contexts. Of `calm` and `heavy` (`validation.coverage_study`) all tokens are novel. Of `copying` the golden
replies are those of `calm`; the policy's keep their novel part, and some of them copy besides, more often in the hard contexts,
which the shifted category meets more often. A copied part adds a lognormal gain to the log-likelihood in the own context alone;
a wholly copied reply has no novel token. Token counts differ between replies, so rates and novel rates differ, too.

An interval is asked to cover its own population value: by `club` the exact sum; of the others, whose expectation may depend on
n, the mean of the very estimator over many more tables. Lineages are independent: one a record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from remid_jax.information.emi import half_a_turn
from remid_jax.information.identification import identified
from remid_jax.information.intervals import NEVER, VALIDATED_FROM
from remid_jax.validation.coverage_study import CONTEXTS, Channel, channels, covered

Report = Callable[[int, int], None]

SIZES = (8, 16, 32, 64)
AT_ONCE = 50  # tables in memory together
POPULATION_TABLES = 4  # times as many tables as replications give the population value of all but `club`
KINDS = ("novel alone", "partly copied", "wholly copied")
COPYING = np.array([[0.80, 0.15, 0.05], [0.50, 0.35, 0.15]])  # shares of `KINDS` in easy and in hard contexts
COPIED_TOKENS = (0, 8, 12)  # of a reply of each kind
COPIED_NATS = 3.0  # a copied token's surprise in a context that does not hold it; cancels everywhere
GAIN_SIGMA = 1.0  # of the log of the gain
GAIN_MEDIAN = 5.0  # nats
JUDGED: Mapping[str, Sequence[tuple[str, str]]] = {
    "club": [("club", "novel")],
    "identified": [("identified", "whole"), ("identified", "novel"), ("policy", "whole"), ("policy", "novel")],
    "misplaced": [("misplaced", "whole"), ("misplaced", "novel")],
}
"""The rows that each estimator of `VALIDATED_FROM` is judged by: (quantity, view)."""


@dataclasses.dataclass(frozen=True)
class CopyingWorld:
    """A channel, and how often the policy's replies are of each kind, [contexts, kinds]; tokens of the novel part [replies]."""

    channel: Channel
    shares: np.ndarray
    novel_tokens: np.ndarray

    @property
    def views(self) -> tuple[str, ...]:
        """Whole and novel parts are the same where nothing is copied."""
        return ("whole", "novel") if self.shares[:, 1:].any() else ("novel",)

    def tokens(self) -> np.ndarray:
        """Of whole replies, [kinds, replies]; a wholly copied one has no other."""
        has_novel = np.array([1, 1, 0])[:, None]
        return has_novel * self.novel_tokens + np.array(COPIED_TOKENS)[:, None]

    def population_club(self, side: int, view: str) -> float:
        """Returns EMI by `club` token_rate in IDTest (side 0) or the category (1), nats a token of whole replies."""
        law, logs = self.channel.laws[side], np.log(self.channel.critic)
        tokens = self.tokens()

        def information(kernel: np.ndarray, shares: np.ndarray) -> float:
            total = 0.0
            for kind in range(len(KINDS)):
                joint = shares[:, kind, None] * kernel
                if kind < 2:
                    scores = logs / tokens[kind]
                    total += float(law @ (joint * scores).sum(1) - (law @ scores) @ (law @ joint))
                if kind > 0 and view == "whole":
                    gain = GAIN_MEDIAN * np.exp(GAIN_SIGMA**2 / 2)
                    total += float(law @ (joint * gain / tokens[kind]).sum(1))
            return total

        golden = np.eye(len(KINDS))[np.zeros(CONTEXTS, int)]
        return information(self.channel.policy, self.shares) - information(self.channel.golden, golden)


def worlds() -> dict[str, CopyingWorld]:
    """`calm`, `heavy` and `copying`."""
    rng = np.random.default_rng(2513)
    hard = np.arange(CONTEXTS) % 2
    alone = np.tile([1.0, 0.0, 0.0], (CONTEXTS, 1))
    made = {}
    for name, base, shares in (("calm", "calm", alone), ("heavy", "heavy", alone), ("copying", "calm", COPYING[hard])):
        channel = channels()[base]
        made[name] = CopyingWorld(channel, shares, rng.integers(4, 21, (channel.golden.shape[1],)))
    return made


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Replies of one side of many tables: log-likelihoods [tables, n, n] and tokens [tables, n], whole and novel."""

    whole: np.ndarray
    novel: np.ndarray
    tokens: np.ndarray
    novel_tokens: np.ndarray

    def loglik(self, view: str) -> np.ndarray:
        return self.whole if view == "whole" else self.novel

    def rates(self, view: str) -> np.ndarray:
        """As `identification.rates_of`: NaN in the columns of replies that have no token of this view."""
        tokens = (self.tokens if view == "whole" else self.novel_tokens)[:, None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(tokens > 0, self.loglik(view) / tokens, np.nan)


def draw_tables(world: CopyingWorld, n: int, tables: int, rng: np.random.Generator) -> list[tuple[Drawn, Drawn]]:
    """Returns golden and policy replies of IDTest and of the shifted category."""
    logs, places = np.log(world.channel.critic), np.arange(n)

    def choose(laws: np.ndarray) -> np.ndarray:
        """An outcome of each law [..., outcomes]."""
        return (rng.random((*laws.shape[:-1], 1)) > laws.cumsum(-1)).sum(-1).clip(max=laws.shape[-1] - 1)

    sides = []
    for law in world.channel.laws:
        x = rng.choice(CONTEXTS, (tables, n), p=law)
        drawn = []
        for kernel, shares in ((world.channel.golden, None), (world.channel.policy, world.shares)):
            y = choose(kernel[x])
            kind = np.zeros_like(y) if shares is None else choose(shares[x])
            novel_tokens = np.where(kind < 2, world.novel_tokens[y], 0)
            copied = np.array(COPIED_TOKENS)[kind]
            novel = np.where(kind[:, None, :] < 2, logs[x[:, :, None], y[:, None, :]], 0.0)
            whole = novel - COPIED_NATS * copied[:, None, :]
            gain = GAIN_MEDIAN * rng.lognormal(0, GAIN_SIGMA, y.shape)
            whole[:, places, places] += np.where(kind > 0, gain, 0.0)
            drawn.append(Drawn(whole, novel, novel_tokens + copied, novel_tokens))
        sides.append((drawn[0], drawn[1]))
    return sides


def club(scores: np.ndarray) -> np.ndarray:
    """Returns `mutual_information.club` over all mismatched pairs of [..., n, n], then without each item: [..., 1 + n]."""
    n, own = scores.shape[-1], np.diagonal(scores, axis1=-2, axis2=-1)
    total = own.sum(-1, keepdims=True)
    others = scores.sum((-2, -1))[..., None] - total
    without = others - scores.sum(-1) - scores.sum(-2) + 2 * own
    everything = total / n - others / (n * (n - 1))
    return np.concatenate([everything, (total - own) / (n - 1) - without / ((n - 1) * (n - 2))], axis=-1)


def estimates(
    world: CopyingWorld, sides: Sequence[tuple[Drawn, Drawn]], deletions: bool
) -> dict[tuple[str, str], list[np.ndarray]]:
    """Returns {(quantity, view): of IDTest and of the category}, each [tables, 1 + n]; of `identified` the last axis is 1
    without `deletions`. NaN where the product has no number."""
    n = sides[0][0].tokens.shape[1]
    other = half_a_turn([np.arange(n)])
    weights = np.concatenate([np.ones((1, n)), 1 - np.eye(n)])[: None if deletions else 1]
    made: dict[tuple[str, str], list[np.ndarray]] = {}

    def traced(replies: Drawn, view: str) -> np.ndarray:
        return np.stack([identified(rates, np.arange(n), weights) for rates in replies.rates(view)])

    for golden, policy in sides:
        golden_rates = golden.novel / golden.tokens[:, None, :]
        of_golden, of_golden_traced = club(golden_rates), traced(golden, "novel")
        of_other = club(golden_rates[:, :, other]) - of_golden
        for view in world.views:
            emi = club(policy.loglik(view) / policy.tokens[:, None, :]) - of_golden
            of_policy = traced(policy, view)
            for quantity, values in (
                ("club", emi),
                ("identified", of_policy - of_golden_traced),
                ("policy", of_policy),
                ("misplaced", np.divide(emi, of_other, out=np.full_like(emi, np.nan), where=excludes_zero(of_other)[:, None])),
            ):
                made.setdefault((quantity, view), []).append(values)
    return made


def excludes_zero(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns whether the jackknife interval of each table's [tables, 1 + n] leaves out 0: a quotient by it is a number."""
    deleted = values[:, 1:]
    n = deleted.shape[1]
    error = np.sqrt((n - 1) * deleted.var(axis=1))
    return np.abs(values[:, 0]) > stats.t.ppf((1 + level) / 2, n - 1) * error


def coverage(world: CopyingWorld, n: int, replications: int, seed: int, report: Report) -> list[dict[str, Any]]:
    """Returns a row a quantity and view: coverage in IDTest ("emi") and of its change to the category ("emid"), what they are
    asked to cover ("emi_value", "emid_value"), and the shares of tables that have a number ("emi_shown", "emid_shown").

    A coverage is of the tables with a number, None where there is none.
    """
    rng = np.random.default_rng([seed, n])
    drawn, many = [], []
    for first in range(0, replications, AT_ONCE):
        tables = min(AT_ONCE, replications - first)
        drawn.append(estimates(world, draw_tables(world, n, tables, rng), True))
        many += [estimates(world, draw_tables(world, n, tables, rng), False) for _ in range(POPULATION_TABLES)]
        report(first + tables, replications)
    rows = []
    for key in drawn[0]:
        quantity, view = key
        here, there = (np.concatenate([tables[key][side] for tables in drawn]) for side in (0, 1))
        means = [np.concatenate([tables[key][side][:, 0] for tables in many]) for side in (0, 1)]
        exact = [world.population_club(side, view) for side in (0, 1)]
        lost = np.concatenate([here[:, 1:] - there[:, :1], here[:, :1] - there[:, 1:]], axis=1)
        row: dict[str, Any] = {"n": n, "quantity": quantity, "view": view}
        for term, centre, deleted, sample in (
            ("emi", here[:, 0], here[:, 1:], means[0]),
            ("emid", here[:, 0] - there[:, 0], lost, means[0] - means[1]),
        ):
            shown = np.isfinite(centre)
            if quantity == "club":
                value: float | None = exact[0] if term == "emi" else exact[0] - exact[1]
            else:
                value = float(np.nanmean(sample)) if np.isfinite(sample).any() else None
            row |= {
                term: covered(centre[shown], deleted[shown], value) if shown.any() and value is not None else None,
                f"{term}_value": value,
                f"{term}_shown": float(shown.mean()),
            }
        rows.append(row)
    return rows


def study(world: str, replications: int, seed: int, report: Report) -> list[dict[str, Any]]:
    """Returns the rows of `coverage` for every n of `SIZES`."""
    rows: list[dict[str, Any]] = []
    for number, n in enumerate(SIZES):

        def advance(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(SIZES) * total)

        rows += coverage(worlds()[world], n, replications, seed, advance)
    return rows


def smallest_validated(rows: Sequence[Mapping[str, Any]], low: float = 0.93, high: float = 0.97) -> dict[str, int | None]:
    """For each estimator of `JUDGED` the smallest n from which on every coverage, in every world, is within limits.

    `intervals.VALIDATED_FROM` must not claim less.
    """
    smallest: dict[str, int | None] = {}
    for estimator, judged in JUDGED.items():
        reached = {
            n: [
                row[term]
                for row in rows
                if row["n"] == n and (row["quantity"], row["view"]) in judged
                for term in ("emi", "emid")
            ]
            for n in SIZES
        }
        good = [n for n, values in reached.items() if values and all(v is not None and low <= v <= high for v in values)]
        smallest[estimator] = min((n for n in good if all(m in good for m in SIZES if m >= n)), default=None)
    return smallest


def claims() -> dict[str, int | None]:
    """What the product says it has validated; None: of no number of lineages."""
    return {name: None if VALIDATED_FROM[name] == NEVER else VALIDATED_FROM[name] for name in JUDGED}
