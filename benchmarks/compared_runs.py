"""Many runs compared at once, as `experiments.compare` does: seconds of each part, and memory.

    python -m benchmarks.compared_runs --runs=2000 --categories=12 --records=64

The runs are folders with drawn scores, golden and policy replies alone (an evaluation also keeps those of its controls, so its
files are larger). Prints a line of JSON: megabytes on the disk, seconds of CPU in each part, of all of it, and peak memory.
"""

from __future__ import annotations

import collections
import importlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags, logging

from remid_jax.evaluation import comparison, measured_alike
from remid_jax.reporting import comparison_page

RUNS = flags.DEFINE_integer("runs", 2000, "How many.", lower_bound=2)
CATEGORIES = flags.DEFINE_integer("categories", 12, "Of each run.")
RECORDS = flags.DEFINE_integer("records", 64, "Of each category.")
PARTS = {
    measured_alike: ("read_runs", "check_comparable", "on_common_records", "_check_golden", "quantities"),
    comparison: ("changed_lineages", "_results", "differences", "family", "_rows", "standings"),
}
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
evaluated, score_arrays = (importlib.import_module(name) for name in ("evaluated", "score_arrays"))


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    seconds: collections.Counter[str] = collections.Counter()
    for module, parts in PARTS.items():
        for part in parts:
            setattr(module, part, _timed(getattr(module, part), part, seconds))
    with tempfile.TemporaryDirectory() as name:
        folders = write(Path(name))
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
        began = time.process_time()
        found = comparison.compare([str(folder) for folder in folders])
        compared = time.process_time()
        text = json.dumps(found.results)
        kept = time.process_time()
        page = comparison_page.html(found.results)
        shown = time.process_time()
    print(json.dumps({
        "runs": RUNS.value, "categories": CATEGORIES.value, "records": RECORDS.value, "read_MB": round(size / 1e6),
        **{part: round(seconds[part], 2) for parts in PARTS.values() for part in parts},
        "compare_s": round(compared - began, 2),
        "json_s": round(kept - compared, 2), "json_MB": round(len(text) / 1e6), "page_s": round(shown - kept, 2),
        "page_MB": round(len(page) / 1e6),
        "peak_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }))  # fmt: skip


def write(folder: Path) -> list[Path]:
    """Writes the folders of the runs."""
    counts = dict.fromkeys(("IDTest", *(f"shifted{n}" for n in range(1, CATEGORIES.value))), RECORDS.value)
    arrays = score_arrays.without(score_arrays.score_arrays(counts), "/self/", "golden_half", "constant")
    shifts = {"user": {"categories": list(counts)[1:]}}
    for name in list(counts)[1:]:
        arrays |= {f"{name}/shift": np.array("user"), f"{name}/reference": np.array("IDTest")}
    folders = []
    for run in range(RUNS.value):
        samples = [
            {"category": name, "record": record, "reply": f"{run}: {record}"}
            for name in counts
            for record in arrays[f"{name}/record"].tolist()
        ]
        of_run = evaluated.with_other_policy(arrays, run) if run else arrays
        folders.append(
            evaluated.saved(folder / f"run{run:04}", evaluated.evaluation(of_run, {"estimates.shifts": shifts}, samples))
        )
    return folders


def _timed(function: Callable[..., Any], name: str, seconds: collections.Counter[str]) -> Callable[..., Any]:
    def call(*given: Any, **more: Any) -> Any:
        began = time.process_time()
        result = function(*given, **more)
        result = list(result) if name == "_rows" else result
        seconds[name] += time.process_time() - began
        return result

    return call


if __name__ == "__main__":
    app.run(main)
