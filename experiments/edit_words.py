"""Makes the file of edits that the dial `edited(FILE)` reads: see configs/edit_words.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from remid_jax.construction.answering import answering
from remid_jax.construction.answers import Questioner, Tally
from remid_jax.construction.edits import edits_of, line_of
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.dialogues.dials.edits import read_edits
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Benchmark
from remid_jax.endpoints.chat import Sampling
from remid_jax.errors import UserError
from remid_jax.files import write_rows
from remid_jax.parallel import Devices, is_first_host
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli

EDITS, FAILURES = "edits.jsonl", "failures.jsonl"


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.model:
        raise UserError("config.model is not set: name who writes, --config.model=endpoint:NAME or a model")
    benchmark = _benchmark(config)
    category = _category(config, benchmark)
    records = {record.id: record for record in benchmark.test[category]}
    prompts = ConstructionPrompts.load(config.prompts)
    cli.use_compilation_cache()
    progress, store = cli.progress(), Store(workdir / "store.sqlite")
    devices, tally = Devices(config.devices.parallel, config.devices.mesh_model), Tally()
    model = answering(config.model, config, workdir, store, devices)
    sampling = Sampling(config.max_new, temperature=config.temperature, seed=config.seed)
    manifest = benchmark.manifest
    languages = dict.fromkeys(records, manifest.categories[category].language)
    try:
        questioner = Questioner(model, sampling, config.tries, False, tally, progress)
        edits = edits_of(records, languages, manifest.languages, questioner, prompts)
    finally:
        _write(workdir / FAILURES, [failure.to_json() for failure in tally.failures])
    if not edits:
        raise UserError(f"{config.model}: none of {len(records)} answers fits: {workdir / FAILURES} says why")
    _write(workdir / EDITS, [line_of(records[name], edit) for name, edit in edits.items()])
    if is_first_host():
        read_edits(str(workdir / EDITS), list(records.values()))  # as the dial will
        again = tally.counts["edit"]["again"]
        print(f"{len(edits)} of {len(records)} records of {category} edited; {again} answers asked for again")
        progress.say(f'dial: "edited({workdir / EDITS})"')


def _benchmark(config: ConfigDict) -> Benchmark:
    c = config.benchmark
    return read_benchmark(c.source, manifest=c.manifest, format=c.format or "auto", mapping=c.mapping, character=c.character)


def _category(config: ConfigDict, benchmark: Benchmark) -> str:
    wanted = config.benchmark.category or next(iter(benchmark.test))
    if wanted not in benchmark.test:
        raise UserError(f"config.benchmark.category={wanted!r}: choose one of {', '.join(benchmark.test)}")
    return wanted


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if is_first_host():
        write_rows(path, rows)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
