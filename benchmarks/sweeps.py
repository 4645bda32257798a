"""A large sweep before a device that answers at once: its index and tables; and how fast one keeper serves many workers.

    python -m benchmarks.sweeps --points=2000 --workers=64

Prints a line of JSON each: seconds of planning, of running and entering all points, of reading the index again and of the page
(a table with the paired difference of every row, 12 categories of 64 records), bytes written, peak memory; then the rows that
the keeper gives and takes a second, over Ray, from so many workers at once (threads of eight actors).
"""

from __future__ import annotations

import json
import resource
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags, logging

from remid_jax.scoring.store import key_of
from remid_jax.sweeps import index as index_module
from remid_jax.sweeps.combinations import product
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.pace import Pace
from remid_jax.sweeps.plan import Plan, Surroundings, Task, planned
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.tables import page

POINTS = flags.DEFINE_integer("points", 2000, "Of the sweep; 0 leaves it out.")
CATEGORIES = flags.DEFINE_integer("categories", 12, "Of each point.")
RECORDS = flags.DEFINE_integer("records", 64, "Of each category.")
WORKERS = flags.DEFINE_integer("workers", 64, "That call the keeper at once; 0 leaves Ray out.")
SECONDS = flags.DEFINE_float("seconds", 10, "For which they call it.")
ACTORS, BATCH, ROW = 8, 32, 1024  # processes that call, rows a call, bytes a row


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if POINTS.value:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(large_sweep(Path(folder))), flush=True)
    if WORKERS.value:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(served(Path(folder))), flush=True)


def answer(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """What an evaluation keeps, drawn: estimates by category, a number a record."""
    draws = np.random.default_rng(config["seed"])
    values = draws.normal(size=(CATEGORIES.value, RECORDS.value))
    means, errors = values.mean(1), values.std(1) / np.sqrt(RECORDS.value)
    estimates = {
        f"category{c}": {
            "value": float(mean), "unit": "token_rate", "estimator": "club", "n": RECORDS.value,
            "interval": {"low": float(mean - 2 * error), "high": float(mean + 2 * error), "level": 0.95, "method": "jackknife",
                         "clusters": RECORDS.value, "validated": True, "bootstrap": None},
        }
        for c, (mean, error) in enumerate(zip(means, errors, strict=True))
    }  # fmt: skip
    records = {
        f"category{c}": {f"lineage{r}": {f"record{c}-{r}": float(value)} for r, value in enumerate(row)}
        for c, row in enumerate(values)
    }
    return {"r_emi": estimates, "by_record": records}


def sweep() -> Sweep:
    named = {f"point{n}": at for n, at in enumerate(product(half=(0, 1), seed=range(POINTS.value // 2)))}
    points = [Point(name, "answer", {"seed": n, **at}) for n, (name, at) in enumerate(named.items())]
    columns = (
        Selector("R-EMI *", "answer.r_emi.*"),
        Selector("minus the first", "answer.by_record", "+.3f", minus_reference=True),
    )
    lines = [Line(name, [{"answer": name}]) for name in named]
    return Sweep("Large", "python -m benchmarks.sweeps", points, [Layout("All", "point", lines, columns, reference="point0")])


def large_sweep(folder: Path) -> dict[str, Any]:
    """Seconds of this process in each part, by its CPU's clock, so that others do not count. The task takes no time and no file
    but its account."""
    written: list[int] = []
    write = index_module.write_text

    def counted(path: str | Path, text: str) -> None:
        written.append(len(text))
        write(path, text)

    index_module.write_text = counted  # type: ignore[assignment]
    whole = sweep()
    began, clock = time.process_time(), time.monotonic()
    plan = planned(whole.points, {"answer": Task(answer)}, {"kernel": 1})
    index = Index(folder / "index.json", plan)
    pace, pages = Pace(), []

    def entered(index: Index) -> None:
        pace(lambda: pages.append(len(page(whole, index))))

    ready = time.process_time()
    run_serially(plan, index, [point.name for point in plan.points], folder / "runs", Surroundings(), entered=entered)
    run = time.process_time()
    again = Index(folder / "index.json", plan)
    read = time.process_time()
    length = len(page(whole, again))
    shown, seconds = time.process_time(), time.monotonic() - clock
    return {
        "points": len(plan.points), "seconds_beside_others": round(seconds), "plan_s": round(ready - began, 2),
        "run_and_enter_s": round(run - ready, 2),
        "index_MB": round((folder / "index.json").stat().st_size / 1e6, 1), "index_written": len(written),
        "written_MB": round(sum(written) / 1e6, 1), "pages_meanwhile": len(pages), "read_again_s": round(read - run, 2),
        "page_and_comparison_s": round(shown - read, 2), "page_MB": round(length / 1e6, 2),
        "peak_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }  # fmt: skip


class Caller:
    """Calls the keeper from several threads: each puts rows and takes them back."""

    def __init__(self, keeper: Any, first: int, threads: int, store: str):
        self._keeper, self._numbers, self._store = keeper, range(first, first + threads), store

    def work(self, seconds: float) -> tuple[int, int]:
        """Returns how many rows were put and got."""
        import ray

        ends, puts, gets = time.monotonic() + seconds, list[int](), list[int]()

        def loop(number: int) -> None:
            turn = 0
            while time.monotonic() < ends:
                rows = {key_of({"caller": number, "turn": turn, "row": n}): bytes(ROW) for n in range(BATCH)}
                ray.get(self._keeper.put.remote(self._store, rows))
                puts.append(len(rows))
                gets.append(len(ray.get(self._keeper.get.remote(self._store, list(rows)))))
                turn += 1

        threads = [threading.Thread(target=loop, args=(number,)) for number in self._numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(puts), sum(gets)


def served(folder: Path) -> dict[str, Any]:
    """The rows a second that one keeper takes and gives."""
    import ray

    from remid_jax.sweeps.cluster.keeper import Keeper
    from remid_jax.sweeps.cluster.launcher import AT_ONCE

    class Measured(Keeper):
        def cpu(self) -> float:
            return time.process_time()

    ray.init("local", num_cpus=ACTORS, include_dashboard=False, log_to_driver=False)
    plan = Plan([], {}, {})
    keeper = ray.remote(num_cpus=0, max_concurrency=AT_ONCE)(Measured).remote(plan, str(folder / "index.json"), [], str(folder))
    each = -(-WORKERS.value // ACTORS)
    callers = [ray.remote(Caller).remote(keeper, n * each, each, str(folder / "store.sqlite")) for n in range(ACTORS)]
    ray.get([caller.work.remote(0.1) for caller in callers])
    began, cpu = time.monotonic(), ray.get(keeper.cpu.remote())
    puts, gets = np.sum(ray.get([caller.work.remote(SECONDS.value) for caller in callers]), axis=0)
    seconds, cpu = time.monotonic() - began, ray.get(keeper.cpu.remote()) - cpu
    ray.shutdown()
    return {
        "callers": each * ACTORS, "rows_a_call": BATCH, "bytes_a_row": ROW, "puts_a_second": round(puts / seconds),
        "gets_a_second": round(gets / seconds), "MB_a_second": round((puts + gets) * ROW / seconds / 1e6, 1),
        "rows_a_cpu_second_of_the_keeper": round((puts + gets) / cpu),
    }  # fmt: skip


if __name__ == "__main__":
    app.run(main)
