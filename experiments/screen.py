"""Which records of a benchmark pass the quality gates: see configs/screen.py.

Writes kept.jsonl with its manifest, rejects.jsonl ({"gate", "why", "record"} a line) and the data card to the workdir, and
prints what each gate looked at and rejected.
"""

from __future__ import annotations

import json
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from remid_jax.construction.gates import default_gates
from remid_jax.construction.gates.sources import sources_by_lineage
from remid_jax.construction.screening import screen
from remid_jax.dialogues.manifest_files import SUFFIX
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.errors import UserError
from remid_jax.files import write_rows, write_text
from remid_jax.parallel import is_first_host
from remid_jax.reporting import data_card, terminal
from remid_jax.roles.opening import open_engine
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli

KEPT, REJECTS = "kept", "rejects.jsonl"


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.source:
        raise UserError("config.source is not set: give a benchmark, --config.source=FILE, or package:rpgbench_compact")
    benchmark = read_benchmark(
        config.source,
        manifest=config.manifest,
        format=config.format or "auto",
        mapping=config.mapping,
        character=config.character,
    )
    manifest = benchmark.manifest
    records = [*benchmark.train, *(record for own in benchmark.test.values() for record in own)]
    gates = default_gates(
        sources_by_lineage(records, manifest), _engine(config, workdir), Prompts.load(config.prompts), config.refusals
    )
    progress = cli.progress()
    with progress.stage("screen", "records") as advance:
        screening = screen(records, manifest, gates, advance)
    if not is_first_host():
        return
    write_jsonl(workdir / f"{KEPT}.jsonl", screening.kept)
    write_text(workdir / f"{KEPT}{SUFFIX}", json.dumps(manifest.to_json(), ensure_ascii=False, indent=1) + "\n")
    write_rows(workdir / REJECTS, (reject.to_json() for reject in screening.rejects))
    data_card.write_card(workdir, screening.kept, manifest, screening, {})
    Console().print(terminal.drawn(data_card.gates(screening)))
    progress.say(f"kept: {workdir / KEPT}.jsonl   rejects: {workdir / REJECTS}   card: {workdir / data_card.CARD}")


def _engine(config: ConfigDict, workdir: Path) -> ScoringEngine | None:
    """The engine of `config.model`, if there is one."""
    if not config.model:
        return None
    cli.use_compilation_cache()
    return open_engine(config, config, Store(workdir / "store.sqlite"), reading_of(config, workdir))


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
