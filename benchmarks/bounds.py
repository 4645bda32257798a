"""Every bound on 100,000 worlds of 3x3x3 contexts and 6 replies: wall and CPU seconds, peak memory of the process.

    python -m benchmarks.bounds

Compilation is counted.
"""

from __future__ import annotations

import datetime
import os
import resource
import time

import jax
import numpy as np
from absl import app, flags

from remid_jax.parallel import Devices
from remid_jax.theory.bounds.on_worlds import CERTIFIED, every_bound, violated
from remid_jax.theory.worlds import from_arrays, in_blocks

WORLDS = flags.DEFINE_integer("worlds", 100_000, "How many.")
SHAPE, REPLIES = (3, 3, 3), 6


def main(_: list[str]) -> None:
    rng = np.random.default_rng(0)
    laws = {name: rng.dirichlet(np.full(27, 0.5), WORLDS.value).reshape(-1, *SHAPE) for name in ("p_x", "q_x")}
    kernels = {name: rng.dirichlet(np.full(REPLIES, 0.5), (WORLDS.value, *SHAPE)) for name in ("p_y", "theta")}
    before = _peak()
    wall, cpu = time.perf_counter(), time.process_time()
    with jax.enable_x64(True):
        worlds = from_arrays(laws | kernels | {"q_y": kernels["p_y"]})
        found = in_blocks(every_bound, worlds, Devices())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    wrong = {name: int(violated(found["emid"], found[name]).sum()) for name in CERTIFIED}
    print(
        f"{datetime.date.today()}, jax {jax.__version__}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{WORLDS.value:,} worlds of 3x3x3x6, {len(found) - 1} bounds: {wall:.0f} s, {cpu:.0f} s of CPU")
    print(f"peak memory {_peak():.2f} GB, {before:.2f} GB before the first bound; violations {sum(wrong.values())}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    app.run(main)
