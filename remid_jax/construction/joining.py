"""One benchmark of several that were built apart, each with its own seed."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remid_jax import program
from remid_jax.construction.gates.duplicates import Duplicates
from remid_jax.construction.gates.fields import folded
from remid_jax.construction.gates.split import Split
from remid_jax.construction.pipeline import RECORDS, RESULTS, SCHEMA_VERSION, Built, benchmark_of, write_benchmark
from remid_jax.construction.screening import screen
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import read_records
from remid_jax.dialogues.records import Record
from remid_jax.files import read_object
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports

JOINED = "built apart, and joined"


def join(slices: Mapping[str, str], folder: Path, progress: Reports) -> Built:
    """Joins benchmarks, {name: folder of a build}, and writes the whole to `folder` in the files of a build.

    Ids and lineages get the name of their slice before them. Two slices may have cast one character: all that is made of it is
    one lineage. What only shows between slices is asked of all records again: the gates of the split and of duplicates.

    Raises:
      UserError: if one of the folders holds no build.
    """
    builds = {name: read_object(Path(place) / RESULTS, "name a folder of experiments.build_benchmark")
              for name, place in slices.items()}  # fmt: skip
    records = [
        dataclasses.replace(record, id=f"{name}/{record.id}", lineage=f"{name}/{record.lineage}")
        for name, place in slices.items()
        for record in _records(Path(place) / RECORDS)
    ]
    records = _of_one_lineage(records)
    with progress.stage("gates", "records") as advance:
        screening = screen(records, RPGBENCH, [Split(), Duplicates()], advance)
    benchmark = benchmark_of(screening.kept)
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": JOINED,
        "program": program.described(),
        "slices": {name: {key: of[key] for key in ("settings", "asked", "fingerprint")} for name, of in builds.items()},
        "counts": {"gates": screening.counts, "categories": _counts(records, screening.kept)},
        "fingerprint": benchmark.fingerprint,
        "account": {f"{name}: {endpoint}": of for name, build in builds.items() for endpoint, of in build["account"].items()},
    }
    if is_first_host():
        write_benchmark(folder, benchmark, screening, results)
    return Built(benchmark, screening, results)


def _records(path: Path) -> list[Record]:
    """The records of a slice; none where its gates kept none."""
    return [] if path.is_file() and not path.stat().st_size else read_records(path)


def _of_one_lineage(records: list[Record]) -> list[Record]:
    """Records of characters of one name get the lineage of the first."""
    first: dict[str, str] = {}
    for record in records:
        first.setdefault(_name(record), record.lineage)
    return [dataclasses.replace(record, lineage=first[_name(record)]) for record in records]


def _name(record: Record) -> str:
    """What tells a character from others; one without a name is known by all that is said of it."""
    return folded(str(record.agent_character.get("name") or record.character_text))


def _counts(made: list[Record], kept: list[Record]) -> dict[str, dict[str, int]]:
    counts = collections.Counter(record.category for record in made)
    return {
        name: {
            "made": count,
            "kept": sum(record.category == name for record in kept),
            "lineages": len({record.lineage for record in kept if record.category == name}),
        }
        for name, count in counts.items()
    }
