"""Bounds by fold blocks (docs/protocol.md, rule 22) where the truth is known: exact worlds parted in folds, and tables drawn.

A fold of a world is the world of its contexts alone, so every certified bound holds in it, and the mean over folds bounds the
mean of their EMID. On drawn tables the interval is asked to cover the population value of the very estimator at that size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.information.intervals import Replicates, Resampling, interval
from remid_jax.parallel import Devices
from remid_jax.shifts.bounds import Bounded, Side, bound, side_of
from remid_jax.shifts.fold_blocks import average_of_blocks
from remid_jax.theory.bounds.on_worlds import information, unknown_shift, violated
from remid_jax.theory.worlds import World, quantities
from remid_jax.theory.worlds.scenarios import SCENARIOS
from remid_jax.validation.coverage_study import CONTEXTS, Channel, channels

Report = Callable[[int, int], None]

FOLDS, SAMPLES = 2, 4
SIZES = (16, 32, 64)  # contexts a category
QUANTITIES = ("emid", "unknown_shift", "plug_in")


def _of_fold(world: World, fold: Float[Array, "U C D"]) -> dict[str, Float[Array, ""]]:
    """EMID and bounds of the contexts where `fold` is 1, and the fold's share of both laws together."""
    p, q = (law * fold for law in (world.p_x, world.q_x))
    share = (p.sum() + q.sum()) / 2
    of = quantities(World(p / p.sum(), q / q.sum(), world.p_y, world.q_y, world.theta))
    return {"share": share, "emid": of.emid, "information": information(of).value, "unknown_shift": unknown_shift(of).value}


def exact(scenario: str, worlds: int, seed: int) -> dict[str, int]:
    """Counts in how many random worlds, their contexts parted in two random folds, the folds' mean bound is below mean EMID.

    Returns {"worlds": those whose folds both hold contexts of P and of Q, "information", "unknown_shift": violations}.
    """
    rng = np.random.default_rng([seed, FOLDS])
    with jax.enable_x64(True):
        drawn = SCENARIOS[scenario].sample(seed, worlds)
        first = rng.integers(0, 2, np.shape(drawn.p_x)).astype(float)
        step = jax.jit(jax.vmap(_of_fold))
        parts = [{name: np.asarray(of) for name, of in step(drawn, fold).items()} for fold in (first, 1 - first)]
    whole = np.all([np.isfinite(part[name]) for part in parts for name in part], axis=0)
    bounds = ("information", "unknown_shift")
    means = {name: sum(part["share"] * part[name] for part in parts)[whole] for name in ("emid", *bounds)}
    return {"worlds": int(whole.sum())} | {name: int(violated(means["emid"], means[name]).sum()) for name in bounds}


def _draw(kernel: np.ndarray, contexts: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Replies [n, samples] to contexts [n] by a kernel [contexts, replies]."""
    shape = (len(contexts), samples, 1)
    return (rng.random(shape) > kernel.cumsum(1)[contexts][:, None]).sum(-1).clip(max=kernel.shape[1] - 1)


def _block(of: Channel, n: int, rng: np.random.Generator) -> dict[str, tuple[Side, Side]]:
    """`bounds.bound`'s sides of one fold: n contexts of IDTest and n of the category."""
    contexts = [rng.choice(CONTEXTS, n, p=law) for law in of.laws]
    sides = {}
    for name, kernel, critic, samples in (("policy", of.policy, of.policy, SAMPLES), ("golden", of.golden, of.critic, 1)):
        with np.errstate(divide="ignore"):
            logs = np.maximum(np.log(critic), np.log(1e-12))
        replies = [_draw(kernel, of_side, samples, rng) for of_side in contexts]
        blocks = [[logs[rows][:, columns] for columns in replies] for rows in contexts]  # [contexts of][replies of]
        events = np.ones((n, samples), bool)
        sides[name] = (
            side_of(blocks[0][0], blocks[1][0], events, True), side_of(blocks[1][1], blocks[0][1], events, False)
        )  # fmt: skip
    return sides


@functools.lru_cache(maxsize=8)
def _lineages(n: int) -> tuple[list[tuple[np.ndarray, np.ndarray]], Resampling]:
    """A lineage for each of n contexts a side and fold; the same lineages on both sides, as a benchmark has them."""
    names = [np.array([f"{fold} {i}" for i in range(n)]) for fold in range(FOLDS)]
    by_block = {f"{side}{fold}": names[fold] for fold in range(FOLDS) for side in "PQ"}
    resampling = Resampling.of(by_block, 0, 0).for_pairs(by_block, {f"Q{fold}": f"P{fold}" for fold in range(FOLDS)})
    return [(of_fold, of_fold) for of_fold in names], resampling


def estimated(
    of: Channel, n: int, divergence: float, rng: np.random.Generator, devices: Devices
) -> dict[str, Replicates] | None:
    """The folds' means of `QUANTITIES` on one table of n contexts a category, `FOLDS` folds of equal size, D_JS known.

    None where a block is refused (`bounds.saturated`).
    """
    lineages, resampling = _lineages(n // FOLDS)
    known = resampling.constant(divergence)
    blocks = [bound(_block(of, n // FOLDS, rng), of_fold, known, resampling, devices) for of_fold in lineages]
    values = [block.values for block in blocks if isinstance(block, Bounded)]
    if len(values) < FOLDS:
        return None
    return {name: of_name for name, of_name in average_of_blocks(values, [1 / FOLDS] * FOLDS).items() if name in QUANTITIES}


def coverage(
    of: Channel, n: int, replications: int, seed: int, devices: Devices, report: Report = lambda done, total: None
) -> dict[str, dict[str, float]]:
    """How often nominal 95% intervals cover the estimator's own population value, n contexts a category in two folds.

    Returns {quantity: {"coverage", "value": its mean over all tables, nats, "sd": its standard deviation over tables,
    "refused": the share of tables without a bound, which are left out}}.
    """
    rng = np.random.default_rng([seed, n])
    laws = jnp.asarray(np.stack(of.laws))
    middle = laws.mean(0)
    divergence = float((laws * jnp.log(laws / middle)).sum() / 2)
    ends: dict[str, list[tuple[float, float, float]]] = {name: [] for name in QUANTITIES}
    with jax.enable_x64(True):
        for done in range(replications):
            for name, quantity in (estimated(of, n, divergence, rng, devices) or {}).items():
                found = interval(quantity, "bound", 0.95)
                assert found["low"] is not None
                assert found["high"] is not None
                ends[name].append((float(quantity.values[0]), found["low"], found["high"]))
            report(done + 1, replications)
    rows = {name: np.array(of_name) for name, of_name in ends.items()}
    return {
        name: {
            "coverage": float(np.mean((array[:, 1] <= array[:, 0].mean()) & (array[:, 0].mean() <= array[:, 2]))),
            "value": float(array[:, 0].mean()),
            "sd": float(array[:, 0].std(ddof=1)),
            "refused": 1 - len(array) / replications,
        }
        for name, array in rows.items()
    }


def study(name: str, replications: int, seed: int, devices: Devices, report: Report) -> list[dict[str, Any]]:
    """The rows of `coverage` on one of `channels`: {"n", "quantity", ...} for every size and quantity."""
    rows: list[dict[str, Any]] = []
    for number, n in enumerate(SIZES):

        def advance(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(SIZES) * total)

        found = coverage(channels()[name], n, replications, seed, devices, advance)
        rows += [{"n": n, "quantity": quantity} | of for quantity, of in found.items()]
    return rows
