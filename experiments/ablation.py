"""Trains and measures the arms of CoRL, and compares them.

    python -m experiments.ablation --config=configs/ablation.py

First on a small world where the truth is known, in minutes, then on the benchmark. The tables, with arms that have not been
run marked so, are written anew after each: `config.output` (every number) and `config.page` (to read). An arm and seed that
stands there, of the same config, is not run again; what is half done is in a folder of the workdir.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record
from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.reporting import ablation, terminal
from remid_jax.settings import check_settings
from remid_jax.synthetic import reasoned_world

from . import ablation_benchmark, ablation_world, arms, cli
from .findings import NOT_RUN, Findings

SCHEMA_VERSION = 2


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("output", "page"):
        check_output(config[name], f"config.{name}")
    if config.reference not in config.arms:
        raise UserError(f"config.reference={config.reference!r}: choose one of config.arms: {', '.join(config.arms)}")
    console, benchmark = Console(stderr=True), read_benchmark(config.corl.benchmark.source)
    records = {record.id: record for members in benchmark.test.values() for record in members}
    grounds = (ablation_world.ground(config, workdir / "world"), ablation_benchmark.ground(config, workdir))
    runs = [(ground, arm, seed) for ground in grounds for seed, arm in itertools.product(config.seeds, ground.arms)]
    findings = Findings(config.output, {(*of.at, arm, str(seed)): of.part(arm, seed) for of, arm, seed in runs})
    cli.use_compilation_cache()
    for ground, arm, seed in runs:
        part, called = (*ground.at, arm, str(seed)), f"{arm}, seed {seed}, {ground.name}"
        if part in findings:
            console.print(f"{called}: stands in {config.output}", highlight=False, soft_wrap=True)
        else:
            console.print(called, highlight=False)
            findings.add(part, arms.run(ground, arm, seed))
            write(config, gathered(config, findings, records))
    found = gathered(config, findings, records)
    write(config, found)
    wide = Console(width=max(160, Console().width) if not Console().is_terminal else None)
    wide.print(terminal.drawn(ablation.world(found)), terminal.drawn(ablation.benchmark(found)))
    console.print(f"ablation: {config.page}   data: {config.output}", highlight=False, soft_wrap=True)


def write(config: ConfigDict, found: Mapping[str, Any]) -> None:
    write_text(config.output, json.dumps(found, indent=1) + "\n")
    write_text(config.page, ablation.page(found))


def gathered(config: ConfigDict, findings: Findings, records: Mapping[str, Record]) -> dict[str, Any]:
    """What has been measured so far."""
    on_benchmark = findings.under("arms")
    golden = {
        arm: {seed: found["golden_log_likelihoods"] for seed, found in seeds.items() if found != NOT_RUN}
        for arm, seeds in on_benchmark.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.ablation",
        "config": json.loads(config.to_json()),
        "arms": on_benchmark,
        "golden_log_likelihood_minus_reference": {
            arm: ablation_benchmark.compared(of, golden[config.reference], records) or NOT_RUN
            for arm, of in golden.items()
            if arm != config.reference
        },
        "world": {"truth": reasoned_world.truth(), "arms": findings.under("world", "arms")},
    }


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
