"""Bounds on random worlds of every scenario, and on the worst worlds that an ascent finds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from remid_jax.parallel import Devices
from remid_jax.theory.bounds.on_worlds import CERTIFIED, every_bound, tightness, violated
from remid_jax.theory.worlds import in_blocks
from remid_jax.theory.worlds.scenarios import FIXED, SCENARIOS
from remid_jax.validation.ascent import Found, ascend, worlds_of

Report = Callable[[int, int], None]

ATTACKED = (*CERTIFIED, "published")
SLOWEST = ("risk_js", "information_references")


def scenario(name: str, worlds: int, seed: int, devices: Devices, report: Report) -> dict[str, Any]:
    """{bound: {"worlds", "violations", "median", "q95", "highest"}} over random worlds, and {"positive", "pinned"}: how many
    worlds lose EMID worth comparing, and in how many of those the output laws leave P - Q no freedom."""
    with jax.enable_x64(True):
        drawn = SCENARIOS[name].sample(seed, worlds)
        found = in_blocks(every_bound, drawn, devices, report=report)
        contexts = np.asarray(((drawn.p_x + drawn.q_x) > 0).sum((1, 2, 3)))
        replies = np.asarray((drawn.theta.max((1, 2, 3)) > 0).sum(-1))
    rows = tightness(found)
    positive = found["emid"] > 1e-3
    # Output laws give 2 (N - 1) equations beside the normalisation: with no more contexts than that they determine P - Q.
    pinned = contexts[positive] <= 2 * (replies[positive] - 1) + 1
    return {"bounds": rows, "worlds": worlds, "positive": int(positive.sum()), "pinned": float(pinned.mean())}


def ascents(
    name: str, bounds: Sequence[str], restarts: int, steps: int, seed: int, workers: int, report: Report
) -> dict[str, dict[str, float | int]]:
    """{bound: {"highest", "median", "violations", "at_end"}}: EMID/bound over restarts, and how many restarts met a violation
    on their way, or of any certified bound in their last world.

    Steps are small, so `workers` climbs run side by side, the longest first.
    """
    scenario, done, lock = FIXED[name], dict.fromkeys(bounds, 0), threading.Lock()

    def climb(bound: str) -> Found:
        def advance(steps_done: int, _: int) -> None:
            with lock:
                done[bound] = steps_done
                report(sum(done.values()), len(bounds) * restarts * steps)

        with jax.enable_x64(True):  # a setting of the thread
            return ascend(scenario, bound, seed, restarts, steps, advance)

    with ThreadPoolExecutor(workers) as pool:
        order = sorted(bounds, key=lambda bound: bound not in SLOWEST)
        found = dict(zip(order, pool.map(climb, order), strict=True))
    with jax.enable_x64(True):
        last = jax.tree.map(lambda *parts: np.concatenate(parts), *(found[bound].logits for bound in bounds))
        ends = in_blocks(every_bound, worlds_of(scenario, last), Devices(local=True), restarts)
    wrong = np.any([violated(ends["emid"], ends[certified]) for certified in CERTIFIED], axis=0)
    return {
        bound: {
            "highest": float(found[bound].ratio.max()),
            "median": float(np.median(found[bound].ratio)),
            "violations": int((found[bound].excess > 0).sum()),
            "at_end": int(at_end.sum()),
        }
        for bound, at_end in zip(bounds, np.split(wrong, len(bounds)), strict=True)
    }
