"""Many runs compared at once, as `experiments.compare` does: seconds of CPU of each part, and memory, of a process of its own.

    python -m benchmarks.compared_runs --runs=2000 --categories=12 --records=64

The runs are folders with drawn scores of golden and policy replies; with `--whole` also with those of control policies, and all
parted by source, as `evaluate` leaves them (30 MB a run of this size). The results.json of each holds the estimates of one of
them, so that it is as long as a real one. Prints a line of JSON: megabytes on the disk, seconds of CPU in each part and in all,
the sizes of what is written, and peak memory.
"""

from __future__ import annotations

import collections
import importlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from rich.console import Console

from remid_jax.evaluation import comparison, measured_alike
from remid_jax.evaluation.opened_runs import ComparedRun
from remid_jax.evaluation.results import contributions, parquet_bytes
from remid_jax.information import estimates as information
from remid_jax.information.differences import Measuring
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices
from remid_jax.reporting import comparison as shown
from remid_jax.reporting import comparison_page

RUNS = flags.DEFINE_integer("runs", 2000, "How many.", lower_bound=2)
CATEGORIES = flags.DEFINE_integer("categories", 12, "Of each run.")
RECORDS = flags.DEFINE_integer("records", 64, "Of each category.")
WHOLE = flags.DEFINE_boolean("whole", False, "Whether runs hold replies of control policies, and what replies copy.")
FOLDER = flags.DEFINE_string("folder", None, "Where the runs lie; by default they are made, and deleted.")
PARTS: Mapping[Any, Sequence[str]] = {
    measured_alike: ("read_runs", "check_comparable", "in_common", "_check_golden", "changed_lineages"),
    ComparedRun: ("table",),
    Measuring: ("quantities",),
    comparison: ("differences", "family", "standings", "_rows", "_changed"),
}
CONTROLS = ("golden_other", "golden_half", "constant", "parrot", "reciter")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
evaluated, score_arrays = (importlib.import_module(name) for name in ("evaluated", "score_arrays"))


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if FOLDER.value:
        print(json.dumps(compared(Path(FOLDER.value))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        given = [f"--{flag.name}={flag.value}" for flag in (RUNS, CATEGORIES, RECORDS)]
        subprocess.run([sys.executable, "-m", "benchmarks.compared_runs", f"--folder={folder}", *given], check=True)


def compared(folder: Path) -> dict[str, Any]:
    """Compares all runs in a folder and makes everything that can be made of it."""
    seconds: collections.Counter[str] = collections.Counter()
    for holder, parts in PARTS.items():
        for part in parts:
            setattr(holder, part, _timed(getattr(holder, part), part, seconds))
    began = time.process_time()
    found = comparison.compare([str(folder)])
    clock = {"compare": time.process_time() - began}
    made = {}
    for name, make in {
        "terminal": lambda: _printed(found),
        "html": lambda: comparison_page.html(found.results),
        "json": lambda: found.text,
        "parquet": lambda: parquet_bytes(found.table()),
    }.items():
        began = time.process_time()
        made[name] = make()
        clock[name] = time.process_time() - began
    return {
        "runs": len(found.runs), "read_MB": round(sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6),
        **{part: round(seconds[part], 2) for parts in PARTS.values() for part in parts},
        **{f"{name}_s": round(of, 2) for name, of in clock.items()}, "all_s": round(time.process_time(), 2),
        **{f"{name}_MB": round(len(of) / 1e6, 2) for name, of in made.items()}, "terminal_lines": made["terminal"].count("\n"),
        "peak_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }  # fmt: skip


def _printed(found: comparison.Comparison) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(shown.summary(found.results))
    return console.export_text()


def write(folder: Path) -> None:
    """Writes the folders of the runs."""
    counts = dict.fromkeys(("IDTest", *(f"shifted{n}" for n in range(1, CATEGORIES.value))), RECORDS.value)
    arrays = score_arrays.without(score_arrays.score_arrays(counts), "/self/", "golden_half", "constant")
    for name in list(counts)[1:]:
        arrays |= {f"{name}/shift": np.array("user"), f"{name}/reference": np.array("IDTest")}
    if WHOLE.value:
        arrays = score_arrays.with_sources(arrays | _controls(arrays))
    results = _results(arrays, list(counts))
    for run in range(RUNS.value):
        of_run = evaluated.with_other_policy(arrays, run) if run else arrays
        if WHOLE.value and run:
            parted = score_arrays.with_sources({name: of_run[name] for name in of_run if name.endswith("/policy")}, run)
            of_run |= {name: array for name, array in parted.items() if name.endswith("/policy")}
        samples = [
            {"category": name, "record": record, "reply": f"{run}: {record} " + "and so on, " * 12}
            for name in counts
            for record in arrays[f"{name}/record"].tolist()
        ]
        at = evaluated.saved(folder / f"run{run:04}", evaluated.evaluation(of_run, {}, samples))
        (at / "results.json").write_text(results.replace("MODEL", f"models/{run}"))


def _controls(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    of_golden = {name.removesuffix("golden"): array for name, array in arrays.items() if name.endswith("/golden")}
    return {f"{stem}{control}": array for stem, array in of_golden.items() for control in CONTROLS}


def _results(arrays: Mapping[str, np.ndarray], categories: Sequence[str]) -> str:
    """A results.json, whose policy is MODEL, as long as that of an evaluation."""
    table, settings = parse(arrays), information.Settings()
    with jax.enable_x64(True):
        found = information.estimates(table, settings, information.plan_of(table, settings, Devices(local=True)))
    records = {name: contributions(arrays, name, table.scorers) for name in categories}
    results = evaluated.evaluation({}, {"policy.model": "MODEL", "estimates": found}).results | {"records": records}
    return json.dumps(results, indent=1)


def _timed(function: Callable[..., Any], name: str, seconds: collections.Counter[str]) -> Callable[..., Any]:
    def call(*given: Any, **more: Any) -> Any:
        began = time.process_time()
        result = function(*given, **more)
        seconds[name] += time.process_time() - began
        return result

    return call


if __name__ == "__main__":
    app.run(main)
