"""Many processes open one new store at once, and each writes and reads: nobody may fail, and all must read the same rows.

    python -m benchmarks.store_race --processes=64 --rounds=40

Prints one line of JSON: failures (of processes x rounds) and rows that differ; both must be 0.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from remid_jax.scoring.store import Store, key_of

PROCESSES = flags.DEFINE_integer("processes", 64, "How many open the store at once.")
ROUNDS = flags.DEFINE_integer("rounds", 40, "How many new stores.")
SHARED = 20  # rows that every process writes


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(race(Path(folder), PROCESSES.value, ROUNDS.value)))


def race(folder: Path, processes: int, rounds: int) -> dict[str, Any]:
    """Runs the rounds, each with a store of its own in `folder`. Forked processes share what this one has imported; none of
    them uses a device."""
    began, context = time.monotonic(), multiprocessing.get_context("fork")
    together, said = context.Barrier(processes), context.SimpleQueue()
    workers = [context.Process(target=_work, args=(folder, n, processes, rounds, together, said)) for n in range(processes)]
    for worker in workers:
        worker.start()
    faults = [fault for _ in workers for fault in said.get()]
    for worker in workers:
        worker.join()
    lost = unequal = 0
    for number in range(rounds):
        rows = Store(folder / f"{number}.sqlite").get(_rows(range(processes)))
        lost += len(_rows(range(processes))) - len(rows)
        unequal += sum(_rows(range(processes))[key] != value for key, value in rows.items())
    return {
        "processes": processes, "rounds": rounds, "failures": len(faults), "rows_lost": lost, "rows_unequal": unequal,
        "seconds": round(time.monotonic() - began, 1), "first_failure": faults[0] if faults else None,
    }  # fmt: skip


def _work(folder: Path, me: int, processes: int, rounds: int, together: Any, said: Any) -> None:
    faults = []
    for number in range(rounds):
        together.wait()
        try:
            store = Store(folder / f"{number}.sqlite")
            store.put(_rows([me]))
            if store.get(_rows([me])) != _rows([me]):
                faults.append("a row is not what was put")
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
    said.put(faults)


def _rows(of: Sequence[int]) -> dict[bytes, bytes]:
    """Rows that all processes write, and some of each one's own."""
    shared = {key_of({"row": n}): bytes([n]) * 1000 for n in range(SHARED)}
    return shared | {key_of({"row": n, "of": me}): bytes([me % 256, n]) * 500 for me in of for n in range(5)}


if __name__ == "__main__":
    app.run(main)
