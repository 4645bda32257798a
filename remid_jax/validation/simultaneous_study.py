"""Do intervals of many differences hold together, do rank sets hold the rank, is the stated smallest difference found?

On the worlds of `coverage_study`, with more categories: IDTest draws contexts evenly, each of 11 others by a law of its own. A
baseline and three runs answer the same contexts anew; the runs confuse contexts less and less often. A lineage has a record in
every category, of the same context as often as the laws allow. Values are those of `club`, whose population values are exact;
of the world with copies they are those of its novel part.

The cells are those of a comparison: EMID of 11 categories and their mean, 12 cells a run; or EMI of 12 categories and the mean
besides, 25 cells a run. A difference that one table states is sought in another: it is added to that one's error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from remid_jax.information.intervals import Replicates, standard_error
from remid_jax.information.simultaneous import band, rank_sets, smallest_difference
from remid_jax.information.standings import VALIDATED_FROM
from remid_jax.validation import copying_study
from remid_jax.validation.copying_study import KINDS, CopyingWorld
from remid_jax.validation.coverage_study import CONTEXTS, Channel, channels

SIZES = (16, 32)
CATEGORIES = 12  # the first is IDTest
TOWARDS_GOLDEN = (0.0, 0.3, 0.55, 0.8)  # of the baseline and three runs: how far their policies are from confused ones
LEVEL = 0.95
NOVEL = "novel part"  # the world whose values are of the novel part, of which the product calls nothing validated
DRAWS = 4_000
AT_ONCE = 50  # tables in memory together
CELLS = {"emid": ("emid",), "both": ("emid", "emi")}  # quantities whose cells hold together

Report = Callable[[int, int], None]


class World(NamedTuple):
    """Laws of contexts by category, policies by run, and the log-likelihoods that `club` takes."""

    laws: Float[np.ndarray, "categories contexts"]
    policies: Float[np.ndarray, "runs contexts replies"]
    logs: Float[np.ndarray, "contexts replies"]


def world(channel: Channel) -> World:
    """Returns the channel with more categories and runs: shifted laws take hard contexts 1.5 to 4 times as often."""
    rng, hard = np.random.default_rng(27), np.arange(CONTEXTS) % 2 == 1
    laws = [np.full(CONTEXTS, 1 / CONTEXTS)]
    for factor in np.linspace(1.5, 4.0, CATEGORIES - 1):
        tilted = rng.dirichlet(np.full(CONTEXTS, 2.0)) * np.where(hard, factor, 1.0)
        laws.append(tilted / tilted.sum())
    policies = [channel.policy + share * (channel.golden - channel.policy) for share in TOWARDS_GOLDEN]
    return World(np.array(laws), np.array(policies), np.log(channel.critic))


def novel_world(copying: CopyingWorld) -> World:
    """Returns the same of replies that copy, by their novel part in nats a token of the whole reply.

    A run that is nearer to golden replies copies less. A reply is one of the channel's and how it copies; of one that is
    copied as a whole the novel part is 0.
    """
    plain = world(copying.channel)
    alone = np.eye(len(KINDS))[np.zeros(CONTEXTS, int)]
    kinds = [copying.shares + share * (alone - copying.shares) for share in TOWARDS_GOLDEN]
    policies = [of_kinds[:, :, None] * policy[:, None] for of_kinds, policy in zip(kinds, plain.policies, strict=True)]
    has_novel = np.array([1, 1, 0])[:, None]
    logs = has_novel * plain.logs[:, None] / copying.tokens()
    return World(plain.laws, np.array(policies).reshape(len(kinds), CONTEXTS, -1), logs.reshape(CONTEXTS, -1))


def worlds() -> dict[str, World]:
    """Returns the worlds of `coverage_study`, and `NOVEL` of the one of `copying_study` whose replies copy."""
    found = {name: world(channel) for name, channel in channels().items()}
    return found | {NOVEL: novel_world(copying_study.worlds()["copying"])}


def population(of: World) -> dict[str, Float[np.ndarray, "runs cells"]]:
    """Returns the exact Ihat of every run's replies by category and their mean, and its drop from IDTest, as EMI and EMID.

    The golden term is left out: it cancels in every difference of runs.
    """
    own = np.einsum("cx,rxy,xy->rc", of.laws, of.policies, of.logs)
    other = np.einsum("cx,rxy,cz,zy->rc", of.laws, of.policies, of.laws, of.logs)
    return _cells(own - other)


def _cells(emi: Float[np.ndarray, "... categories"]) -> dict[str, Float[np.ndarray, "... cells"]]:
    emid = emi[..., :1] - emi[..., 1:]
    return {
        "emid": np.concatenate([emid, emid.mean(-1, keepdims=True)], axis=-1),
        "emi": np.concatenate([emi, emi[..., 1:].mean(-1, keepdims=True)], axis=-1),
    }


def draw_contexts(of: World, n: int, tables: int, rng: np.random.Generator) -> Int[np.ndarray, "categories tables n"]:
    """Returns the contexts of every category: that of IDTest where the category's law allows it, else one of the rest."""
    first = rng.choice(CONTEXTS, (tables, n), p=of.laws[0])
    found = [first]
    for law in of.laws[1:]:
        kept = rng.random((tables, n)) < np.minimum(1.0, law / of.laws[0])[first]
        rest = np.maximum(law - of.laws[0], 0.0)
        found.append(np.where(kept, first, rng.choice(CONTEXTS, (tables, n), p=rest / rest.sum())))
    return np.array(found)


def replicated(
    of: World, n: int, tables: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "tables runs cells 1+n"]]:
    """Returns the cells of every run with their jackknife replicates."""
    contexts = draw_contexts(of, n, tables, rng)
    values = np.empty((tables, len(of.policies), CATEGORIES, 1 + n))
    for run, policy in enumerate(of.policies):
        ends = policy.cumsum(1)
        for category, x in enumerate(contexts):
            y = (rng.random((tables, n, 1)) > ends[x]).sum(-1).clip(max=policy.shape[1] - 1)
            values[:, run, category] = club_without_each(of.logs[x[:, :, None], y[:, None, :]])
    return {quantity: np.moveaxis(cells, -1, 2) for quantity, cells in _cells(np.moveaxis(values, 2, -1)).items()}


def club_without_each(scores: Float[np.ndarray, "tables n n"]) -> Float[np.ndarray, "tables 1+n"]:
    """Returns the mean of the diagonal minus that of all others, then the same without each row and column."""
    n, own = scores.shape[1], np.diagonal(scores, axis1=1, axis2=2)
    everything, of_own = scores.sum((1, 2)), own.sum(1)
    whole = of_own / n - (everything - of_own) / (n * (n - 1))
    own_left = of_own[:, None] - own
    left = everything[:, None] - scores.sum(1) - scores.sum(2) + own
    without = own_left / (n - 1) - (left - own_left) / ((n - 1) * (n - 2))
    return np.concatenate([whole[:, None], without], axis=1)


def study(of: World, n: int, replications: int, seed: int, report: Report) -> dict[str, float]:
    """Returns shares of tables: {"emid", "both": all cells hold their true differences, "ranks": all rank sets hold the true
    ranks, "best": a best run is named and it is the true one, "wrong_best": another is}, and shares of cells: {"single": its
    interval by itself holds its true difference, "found": the smallest difference that the table before states is found}.

    "critical" is the mean critical value of "both".
    """
    rng = np.random.default_rng([seed, n])
    exact = population(of)
    truth = {quantity: (cells[1:] - cells[:1]).ravel() for quantity, cells in exact.items()}
    rank = {str(run): 1 + place for place, run in enumerate(np.argsort(exact["emid"][:, -1]).tolist())}
    judged: list[Judged] = []
    for first in range(0, replications, AT_ONCE):
        tables = min(AT_ONCE, replications - first)
        drawn = replicated(of, n, tables, rng)
        judged += [_judged({name: cells[table] for name, cells in drawn.items()}, truth, rank) for table in range(tables)]
        report(first + tables, replications)
    columns = {name: np.array([getattr(of_table, name) for of_table in judged]) for name in Judged._fields}
    sought = np.roll(columns.pop("stated"), 1, axis=0) + columns.pop("off")
    columns["found"] = np.abs(sought) > columns.pop("half")
    return {name: float(values.mean()) for name, values in columns.items()}


class Judged(NamedTuple):
    """What one table gives: see `study`; by cell the error made, `off`, half an interval and the smallest difference."""

    emid: bool
    both: bool
    single: Bool[np.ndarray, " m"]
    ranks: bool
    best: bool
    wrong_best: bool
    critical: float
    off: Float[np.ndarray, " m"]
    half: Float[np.ndarray, " m"]
    stated: Float[np.ndarray, " m"]


def _judged(
    cells: dict[str, Float[np.ndarray, "runs cells 1+n"]], truth: dict[str, Float[np.ndarray, " m"]], rank: dict[str, int]
) -> Judged:
    holds = {}
    for name, quantities in CELLS.items():
        changes = [cells[quantity][1:] - cells[quantity][:1] for quantity in quantities]
        differences = [_quantity(values) for change in changes for values in change.reshape(-1, change.shape[-1])]
        target = np.concatenate([truth[quantity] for quantity in quantities])
        found = band(differences, LEVEL, DRAWS)
        holds[name] = bool(np.all((found.low <= target) & (target <= found.high)))
    # Of the larger family from here on.
    errors, half = np.array([standard_error(quantity) for quantity in differences]), (found.high - found.low) / 2
    degrees, off = cells["emid"].shape[-1] - 2, found.low + half - target
    sets = rank_sets({str(run): _quantity(of_run[-1]) for run, of_run in enumerate(cells["emid"])}, LEVEL, False, DRAWS)
    named = next((run for run, ranks in sets.items() if ranks == (1, 1)), None)
    return Judged(
        **holds,
        single=np.abs(off) <= stdtrit(degrees, (1 + LEVEL) / 2) * errors,
        ranks=all(first <= rank[run] <= last for run, (first, last) in sets.items()),
        best=named is not None and rank[named] == 1,
        wrong_best=named is not None and rank[named] != 1,
        critical=float(np.mean(half / errors)),
        off=off,
        half=half,
        stated=np.array([smallest_difference(error, degrees, found.each) for error in errors], dtype=float),
    )


def smallest_validated(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Returns the smallest n from which on, in every world, intervals hold together in 93 to 97% of tables, rank sets hold the
    ranks in 95% and the smallest difference is found in 76 to 84%."""
    good = [
        n for n in SIZES
        if (of_size := [row for row in rows if row["n"] == n])
        and all(0.93 <= row[name] <= 0.97 for row in of_size for name in CELLS)
        and all(row["ranks"] >= LEVEL and 0.76 <= row["found"] <= 0.84 for row in of_size)
    ]  # fmt: skip
    return next((n for n in SIZES if all(m in good for m in SIZES if m >= n)), None)


def claimed() -> int:
    """Returns from how many lineages on the product says that it has validated all this."""
    return VALIDATED_FROM


def _quantity(values: Float[np.ndarray, " 1+n"]) -> Replicates:
    everyone = np.ones(len(values) - 1, dtype=bool)
    return Replicates(values, everyone, len(everyone))
