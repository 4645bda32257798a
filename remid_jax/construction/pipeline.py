"""A benchmark out of nothing but a model that answers: characters, users, dialogues, shifts, then the quality gates.

Each stage goes from records of one kind to records of the next and writes them to `stages/`. What a model answered is kept by
request (`endpoints.recorded`), so that to go on is to run again.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from remid_jax import program
from remid_jax.construction.answers import Questioner, Tally
from remid_jax.construction.characters import Casting, Character
from remid_jax.construction.dialogues import held, openings_of
from remid_jax.construction.plan import BASE, TRAIN, TURN_LEVEL, WORD_LEVEL, Amounts, meetings, pairs_to_merge
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.retrieval import Retriever
from remid_jax.construction.screening import Gate, Screening, screen
from remid_jax.construction.shifts import edited, merged
from remid_jax.construction.users import with_users
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.readers.rows import LISTS
from remid_jax.dialogues.records import Benchmark, Record, write_jsonl
from remid_jax.endpoints.chat import Endpoint, Sampling
from remid_jax.endpoints.recorded import Recorded
from remid_jax.errors import UserError
from remid_jax.files import write_rows, write_text
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports
from remid_jax.reporting.data_card import write_card

SCHEMA_VERSION = 1
RESULTS, REJECTS, FAILURES, STAGES = "build.json", "rejects.jsonl", "failures.jsonl", "stages"
RECORDS, MANIFEST, BENCHMARK = "records.jsonl", "records.manifest.json", "PDGBench.json"


@dataclasses.dataclass(frozen=True)
class Asked:
    """Who is asked for what, and how.

    Attributes:
      model: proposes, writes and edits.
      lookup: writes profiles of characters; the model itself, or one with a search engine.
      retriever: what it is shown for that, if anything.
      prompts: what they are asked.
      personas: seed personas of readers, for whom characters are proposed.
      characters: those that need not be proposed.
      sampling: of all answers. An answer that does not fit is drawn again with the next seed.
      tries: draws of one answer, and rounds of proposals, at most.
      go_on: whether an endpoint that answers no more leaves the rest to be made.
    """

    model: Endpoint
    lookup: Endpoint
    retriever: Retriever | None
    prompts: ConstructionPrompts
    personas: Sequence[str]
    characters: Sequence[Character]
    sampling: Sampling
    tries: int
    go_on: bool


@dataclasses.dataclass(frozen=True)
class Built:
    """A benchmark, what its gates took out, and everything else in the layout of build.json:

    {"schema_version", "kind", "program", "settings", "prompts", "asked": {"model" | "lookup": who},
     "counts": {"stages": {stage: {"asked", "again", "fitting", "failed"}}, "gates": {gate: {"looked_at", "rejected"}},
                "categories": {category: {"wanted", "made", "kept", "lineages"}}},
     "stopped": {endpoint: why it was not asked any more}, "fingerprint": of the benchmark,
     "account": {endpoint: see `endpoints.ledger`}}
    """

    benchmark: Benchmark
    screening: Screening
    results: Mapping[str, Any] = dataclasses.field(repr=False)


class _AsLine(Protocol):
    def to_json(self) -> dict[str, Any]: ...


def build(
    asked: Asked,
    amounts: Amounts,
    gates: Callable[[Mapping[str, Sequence[Record]]], Sequence[Gate]],
    folder: Path,
    progress: Reports,
) -> Built:
    """Makes a benchmark, and writes it to a folder with its stages, rejects, failures, build.json and data card.

    Args:
      asked: who makes it.
      amounts: how much.
      gates: returns the gates, given {id of a merged or an edited record: the records it was made from}.
      folder: where to.
      progress: where progress goes.

    Raises:
      UserError: if an endpoint answers no more and the run shall not go on without, or no record could be made.
    """
    tally = Tally()
    try:
        records, sources = _made(asked, amounts, folder / STAGES, tally, progress)
    finally:
        if is_first_host():
            write_rows(folder / FAILURES, (row.to_json() for row in tally.failures))
    if not records:
        raise UserError(_nothing(tally, folder))
    with progress.stage("gates", "records") as advance:
        screening = screen(records, RPGBENCH, gates(sources), advance)
    benchmark = benchmark_of(screening.kept)
    results = _results(asked, amounts, tally, records, screening, benchmark)
    if is_first_host():
        write_benchmark(folder, benchmark, screening, results)
    return Built(benchmark, screening, results)


def _made(
    asked: Asked, amounts: Amounts, folder: Path, tally: Tally, progress: Reports
) -> tuple[list[Record], dict[str, tuple[Record, ...]]]:
    """All records before the gates, and what compositions were made from; the records of each stage go to `folder`."""
    model, lookup = (
        Questioner(endpoint, asked.sampling, asked.tries, asked.go_on, tally, progress)
        for endpoint in (asked.model, asked.lookup)
    )
    seed = asked.sampling.seed
    casting = Casting(model, lookup, asked.retriever, asked.prompts, asked.personas, asked.characters, seed, asked.tries)
    cast = casting.cast(amounts.characters)
    _write_stage(folder, "characters", [character for characters in cast.values() for character in characters])
    met = with_users(meetings(amounts, cast, seed), model, asked.prompts)
    _write_stage(folder, "users", met)
    openings = openings_of(met, model, asked.prompts)
    _write_stage(folder, "openings", openings)
    talks = held([each for each in openings if each.number <= amounts.played(each.meeting)], model, asked.prompts)
    _write_stage(folder, "dialogues", talks)

    by_name = {meeting.id: meeting for meeting in met}
    by_meeting: dict[str, list[Record]] = collections.defaultdict(list)
    for record in talks:
        by_meeting[record.id.rpartition("-")[0]].append(record)
    bases = [(by_name[name], own) for name, own in by_meeting.items() if by_name[name].category == BASE]
    records = [record for own in by_meeting.values() for record in own[: amounts.dialogues]]
    sources: dict[str, tuple[Record, ...]] = {}
    if TURN_LEVEL in amounts.tests:
        pairs = [(meeting, own[a], own[b]) for meeting, own in bases for a, b in pairs_to_merge(len(own), amounts.dialogues)]
        whole = merged(pairs, model, asked.prompts)
        _write_stage(folder, "turn_level", [record for record, _ in whole])
        records += [record for record, _ in whole]
        sources |= {record.id: both for record, both in whole}
    if WORD_LEVEL in amounts.tests:
        plain = [(meeting, record) for meeting, own in bases for record in own[: amounts.dialogues]]
        changed = edited(plain, model, asked.prompts)
        _write_stage(folder, "word_level", [record for record, _ in changed])
        records += [record for record, _ in changed]
        sources |= {record.id: (source,) for record, source in changed}
    order = list(amounts.records)
    return sorted(records, key=lambda record: order.index(record.category)), sources


def benchmark_of(kept: Sequence[Record]) -> Benchmark:
    """Returns records as a benchmark of RPGBench's categories."""
    by_category: dict[str, list[Record]] = collections.defaultdict(list)
    for record in kept:
        by_category[record.category].append(record)
    test = {name: by_category[name] for name in RPGBENCH.categories if name in by_category}
    return Benchmark(by_category.get(TRAIN, []), test)


def _results(
    asked: Asked, amounts: Amounts, tally: Tally, records: Sequence[Record], screening: Screening, benchmark: Benchmark
) -> dict[str, Any]:
    endpoints = {"model": asked.model, "lookup": asked.lookup}
    made = collections.Counter(record.category for record in records)
    kept = {name: [record for record in screening.kept if record.category == name] for name in amounts.records}
    categories = {
        name: {
            "wanted": wanted,
            "made": made[name],
            "kept": len(kept[name]),
            "lineages": len({record.lineage for record in kept[name]}),
        }
        for name, wanted in amounts.records.items()
    }
    settings = {"tries": asked.tries, "go_on": asked.go_on, "sampling": dataclasses.asdict(asked.sampling)}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "build",
        "program": program.described(),
        "settings": settings | amounts.described(),
        "prompts": asked.prompts.fingerprint,
        "asked": {role: _described(endpoint) for role, endpoint in endpoints.items()},
        "counts": {"stages": tally.described(), "gates": screening.counts, "categories": categories},
        "failures": len(tally.failures),
        "stopped": tally.stopped,
        "fingerprint": benchmark.fingerprint,
        "account": {
            endpoint.name: endpoint.ledger.described() for endpoint in endpoints.values() if isinstance(endpoint, Recorded)
        },
    }


def _described(endpoint: Endpoint) -> dict[str, Any]:
    return {"source": endpoint.name} | ({"endpoint": endpoint.described()} if isinstance(endpoint, Recorded) else {})


def write_benchmark(folder: Path, benchmark: Benchmark, screening: Screening, results: Mapping[str, Any]) -> None:
    """Writes a benchmark in every format, what its gates took out, its card, and `results`, which has the "account"."""
    records = [*benchmark.train, *(record for own in benchmark.test.values() for record in own)]
    by_category = {TRAIN: benchmark.train, **benchmark.test}
    lists = {
        name: [record.to_json() for category in categories for record in by_category.get(category, ())]
        for name, categories in LISTS.items()
    }
    _write_json(folder / BENCHMARK, lists)
    write_jsonl(folder / RECORDS, records)
    _write_json(folder / MANIFEST, benchmark.manifest.to_json())
    write_rows(folder / REJECTS, (row.to_json() for row in screening.rejects))
    write_card(folder, records, benchmark.manifest, screening, results["account"])
    _write_json(folder / RESULTS, results)  # last: who finds it finds the others


def _write_stage(folder: Path, name: str, rows: Iterable[_AsLine]) -> None:
    if is_first_host():
        folder.mkdir(exist_ok=True)
        write_rows(folder / f"{name}.jsonl", (row.to_json() for row in rows))


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _nothing(tally: Tally, folder: Path) -> str:
    """What is told where there is no record at all: why, and what was commonest."""
    if tally.stopped:
        return "; ".join(tally.stopped.values())
    stage = tally.failures[0].stage if tally.failures else "propose"
    reasons = collections.Counter(why for failure in tally.failures for why in failure.why)
    listed = "; ".join(f"{times} x {why}" for why, times in reasons.most_common(3)) or "nothing was proposed"
    return (
        f"no record could be made: stage {stage!r} failed first ({listed}): {folder / FAILURES} lists all; ask another model, "
        "raise config.tries or config.max_new, or change the prompts"
    )
