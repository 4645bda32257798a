"""Runs of experiments.evaluate against a baseline, paired by record: what another policy or checkpoint changes.

    python -m experiments.compare runs/baseline runs/other [runs/third ...] --output=comparison.json --page=comparison.md

The leftmost run is the baseline. Runs of another benchmark, estimator, protocol or statistics are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags
from rich.console import Console

from remid_jax.disk import check_output
from remid_jax.evaluation.comparison import compare
from remid_jax.files import write_text
from remid_jax.reporting import comparison as shown

from . import cli

_OUTPUT = flags.DEFINE_string("output", None, "Where all differences go, as JSON; by default nowhere.")
_PAGE = flags.DEFINE_string("page", None, "Where the tables go, as Markdown; by default nowhere.")


def main(runs: Sequence[str], output: str | None = None, page: str | None = None) -> None:
    for path, name in ((output, "--output"), (page, "--page")):
        if path:
            check_output(path, name)
    cli.use_compilation_cache()
    found = compare([str(cli.expanded(run)) for run in runs])
    if output:
        found.save(output)
    if page:
        write_text(page, shown.page(found.results))
    Console(width=None if sys.stdout.isatty() else 120).print(shown.summary(found.results))


def start() -> None:
    cli.run_on_arguments(lambda runs: main(runs, _OUTPUT.value, _PAGE.value))


if __name__ == "__main__":
    start()
