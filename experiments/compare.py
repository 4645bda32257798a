"""Runs of experiments.evaluate against a baseline, paired by record: what another policy or checkpoint changes.

    python -m experiments.compare runs/baseline runs/other [runs/third ...] --html=compare.html --output=comparison.json

The leftmost run is the baseline. A folder that is no run, such as a sweep's, stands for all runs below it. Runs of another
benchmark, estimator, horizon, protocol or statistics are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import flags
from rich.console import Console

from remid_jax.disk import check_output
from remid_jax.evaluation.comparison import Comparison, compare
from remid_jax.evaluation.results import parquet_bytes
from remid_jax.files import write_bytes, write_text
from remid_jax.reporting import comparison as shown

from . import cli

_OUTPUT = flags.DEFINE_string("output", None, "Where all differences go, as JSON; by default nowhere.")
_PAGE = flags.DEFINE_string("page", None, "Where the tables go, as Markdown; by default nowhere.")
_HTML = flags.DEFINE_string("html", None, "Where everything goes, as one HTML page; by default nowhere.")
_TABLE = flags.DEFINE_string("table", None, "Where all differences go, as a Parquet table; by default nowhere.")
_LM_EVAL = flags.DEFINE_string("lm_eval", None, "Where the headline goes, as lm-evaluation-harness's JSON; by default nowhere.")

WRITERS: dict[str, Callable[[Comparison, str], None]] = {
    "output": Comparison.save,
    "page": lambda found, path: write_text(path, shown.page(found.results)),
    "html": Comparison.report,
    "table": lambda found, path: write_bytes(path, parquet_bytes(found.table())),
    "lm_eval": lambda found, path: write_text(path, json.dumps(found.lm_eval(), indent=1, ensure_ascii=False) + "\n"),
}


def main(runs: Sequence[str], files: Mapping[str, str | None] | None = None) -> None:
    """Compares runs; `files` are paths by the name of their flag."""
    asked = {name: path for name, path in (files or {}).items() if path}
    for name, path in asked.items():
        check_output(path, f"--{name}")
    cli.use_compilation_cache()
    found = compare([str(cli.expanded(run)) for run in runs])
    for name, path in asked.items():
        WRITERS[name](found, path)
    Console(width=None if sys.stdout.isatty() else 120).print(shown.summary(found.results))


def start() -> None:
    flags_of_files = (_OUTPUT, _PAGE, _HTML, _TABLE, _LM_EVAL)
    cli.run_on_arguments(lambda runs: main(runs, {flag.name: flag.value for flag in flags_of_files}))


if __name__ == "__main__":
    start()
