"""Bounds on random worlds of every scenario, and on the worst worlds that an ascent finds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from remid_jax.information.bounds.on_worlds import CERTIFIED, every_bound, tightness, violated
from remid_jax.information.worlds import in_blocks
from remid_jax.information.worlds.scenarios import FIXED, SCENARIOS
from remid_jax.parallel import Devices
from remid_jax.validation.ascent import ascend, worlds_of

Report = Callable[[int, int], None]

ATTACKED = (*CERTIFIED, "published")


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
    names: Sequence[str], bounds: Sequence[str], restarts: int, steps: int, seed: int, workers: int, report: Report
) -> dict[str, dict[str, dict[str, float | int]]]:
    """{scenario: {bound: {"highest", "median", "violations", "at_end"}}}: EMID/bound over restarts, and how many restarts met a
    violation on their way, or of any certified bound in their last world.

    Steps are small, so `workers` climbs run side by side.
    """
    jobs = [(name, bound) for name in names for bound in bounds]
    done, lock = [0] * len(jobs), threading.Lock()

    def climb(number: int) -> dict[str, float | int]:
        name, bound = jobs[number]

        def advance(steps_done: int, _: int) -> None:
            with lock:
                done[number] = steps_done
                report(sum(done), len(jobs) * restarts * steps)

        with jax.enable_x64(True):  # a setting of the thread
            found = ascend(FIXED[name], bound, seed, restarts, steps, advance)
            last = in_blocks(every_bound, worlds_of(FIXED[name], found.logits), Devices(), restarts)
        wrong = [violated(last["emid"], last[certified]) for certified in CERTIFIED]
        return {
            "highest": float(found.ratio.max()),
            "median": float(np.median(found.ratio)),
            "violations": int((found.excess > 0).sum()),
            "at_end": int(np.any(wrong, axis=0).sum()),
        }

    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(climb, range(len(jobs))))
    result: dict[str, dict[str, dict[str, float | int]]] = {name: {} for name in names}
    for (name, bound), row in zip(jobs, rows, strict=True):
        result[name][bound] = row
    return result
