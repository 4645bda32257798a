"""Reading a benchmark, ready replies and ready reasoning; a bad file is refused with all its faults at once.

    package:rpgbench_compact   the benchmark inside this package
    *.json                     RPGBench as its authors publish it (PDGBench.json): an object of five lists
    *.jsonl                    one record a line, the same keys and an optional `lineage`

A record: `sample_ID`, `user_persona`, `agent_character` (a mapping), `dialogue_context` (a list of {"user_query": text} and
{"agent_response": text}, alternating, the last one the user's), `agent_golden_response`, `subset_tag` (a category, or IDTrain).
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Benchmark, Record, Turn, character_text
from remid_jax.errors import UserError
from remid_jax.files import read_json, read_lines

PACKAGE = "rpgbench_compact"
TRAIN = "IDTrain"
CATEGORIES = tuple(RPGBENCH.categories)
LISTS: dict[str, tuple[str, ...]] = {TRAIN: (TRAIN,), "IDTest": ("IDTest",)} | {
    name: RPGBENCH.shifts[shift] for name, shift in (("OOD1Test", "user"), ("OOD2Test", "character"), ("OOD3Test", "dialogue"))
}
"""The lists of PDGBench.json and the categories each may hold."""

KEYS = ("sample_ID", "user_persona", "agent_character", "dialogue_context", "agent_golden_response", "subset_tag")
SPEAKERS: dict[Any, Literal["user", "agent"]] = {"user_query": "user", "agent_response": "agent"}

Report = Callable[[str], None]


def read_benchmark(source: str | Path) -> Benchmark:
    """The benchmark of `source`: `package:rpgbench_compact`, a PDGBench.json or a JSONL of records.

    Raises UserError: one line with every fault, each with its file, record and field.
    """
    return _read(source, sized=True)


def read_training(source: str | Path) -> list[Record]:
    """The IDTrain records of `source`, which may hold nothing else; faults as of `read_benchmark`."""
    return _read(source, sized=False).train


def _read(source: str | Path, sized: bool) -> Benchmark:
    """`sized`: every test category that occurs, and IDTest in any case, must be large enough for an estimate."""
    faults: list[str] = []
    records = _Records(faults)
    name = str(source)
    if name.startswith("package:"):
        _read_package(name.removeprefix("package:"), records, faults)
    elif name.removesuffix(".gz").endswith(".jsonl"):
        for number, row in read_lines(name, faults):
            records.add(f"{name}: line {number}", row, (TRAIN, *CATEGORIES), exact=True)
    elif name.removesuffix(".gz").endswith(".json"):
        _read_lists(Path(name), records, faults)
    else:
        faults.append(f"{name}: not a benchmark: name a .jsonl, a .json like PDGBench.json, or package:{PACKAGE}")
    if sized and (records.categories or not faults):
        records.check_sizes(name)
    raise_all(faults)
    return records.benchmark()


def read_replies(path: str | Path, records: Sequence[Record], known: Sequence[Record] = ()) -> dict[str, str]:
    """Ready replies, one {"sample_ID", "reply"} a line, as id -> reply in the order of `records`; every record needs one.

    The file may have replies to `known` records, too. Raises UserError: one line with every fault.
    """
    return _read_answers(Path(path), records, "reply", {record.id for record in (*records, *known)})


def read_reasoning(source: str | Path, records: Sequence[Record], known: Sequence[Record] = ()) -> dict[str, str]:
    """Ready reasoning, one {"sample_ID", "reasoning"} a line, as id -> reasoning; otherwise like `read_replies`.

    `package:rpgbench_compact` is the teacher's reasoning for the embedded benchmark, of which `records` may be a part. It was
    written with the golden replies in view: it is for training, never for an evaluation.
    """
    if not str(source).startswith("package:"):
        return _read_answers(Path(source), records, "reasoning", {record.id for record in (*records, *known)})
    if str(source) != f"package:{PACKAGE}":
        raise UserError(f"{source}: no such reasoning in this package: use package:{PACKAGE} or a file")
    with importlib.resources.as_file(importlib.resources.files(__package__) / PACKAGE / "teacher.jsonl") as path:
        return _read_answers(path, records, "reasoning", None)


class _Records:
    """The records read so far, and the faults of those that could not be."""

    def __init__(self, faults: list[str]):
        self.faults = faults
        self.read: list[Record] = []
        self.categories: list[str] = []  # of faulty records too, so that one bad record is not reported as a small category
        self.places: dict[str, str] = {}

    def add(self, place: str, row: Any, allowed: Sequence[str], exact: bool) -> None:
        """Parses `row`, found at `place`, of one of the categories `allowed`; `exact` refuses keys that mean nothing here."""
        if not isinstance(row, dict):
            self.faults.append(f"{place}: a record must be an object, not {_kind(row)}")
            return
        identity = row.get("sample_ID")
        where = f"{place} ({identity!r})" if isinstance(identity, str) else place
        before = len(self.faults)

        def report(fault: str) -> None:
            self.faults.append(f"{where}: {fault}")

        for key in [k for k in KEYS if k not in row and (k != "subset_tag" or len(allowed) > 1)]:
            report(f"{key}: missing")
        if exact:
            for key in [k for k in row if k not in (*KEYS, "lineage")]:
                report(f"{key}: unknown key")
        texts = {
            key: _text(row[key], key, report, may_be_empty=key == "user_persona")
            for key in ("sample_ID", "user_persona", "agent_golden_response", "lineage")
            if key in row
        }
        # A list of PDGBench.json that holds one category names it itself.
        tag = row.get("subset_tag", allowed[0] if len(allowed) == 1 else None)
        category = self._category(tag, allowed, report) if "subset_tag" in row or tag else ""
        dialogue = _dialogue(row["dialogue_context"], report) if "dialogue_context" in row else ()
        character = row.get("agent_character", {})
        if "agent_character" in row:
            _check_character(character, report)
        if isinstance(identity, str) and identity in self.places:
            report(f"sample_ID: already used at {self.places[identity]}")
        elif isinstance(identity, str):
            self.places[identity] = place
        if category:
            self.categories.append(category)
        if len(self.faults) == before:
            golden, lineage = texts["agent_golden_response"], texts.get("lineage", "")
            self.read.append(Record(texts["sample_ID"], texts["user_persona"], character, dialogue, golden, category, lineage))

    def _category(self, tag: Any, allowed: Sequence[str], report: Report) -> str:
        if tag in allowed:
            return tag
        if isinstance(tag, str) and (tag in CATEGORIES or tag == TRAIN):
            right = next(name for name, categories in LISTS.items() if tag in categories)
            report(f"subset_tag: {tag!r} belongs in the list {right}")
        else:
            report(f"subset_tag: unknown category {tag!r}, must be one of {', '.join(allowed)}")
        return ""

    def check_sizes(self, name: str) -> None:
        for category in CATEGORIES:
            count = self.categories.count(category)
            if count < 2 and (count or category == "IDTest"):
                self.faults.append(f"{name}: subset_tag: {category!r} has {count} record(s), an estimate needs at least 2")

    def benchmark(self) -> Benchmark:
        test = {category: [r for r in self.read if r.category == category] for category in CATEGORIES}
        return Benchmark([r for r in self.read if r.category == TRAIN], {c: records for c, records in test.items() if records})


def _text(value: Any, field: str, report: Report, may_be_empty: bool = False) -> str:
    if not isinstance(value, str):
        report(f"{field}: must be a text, not {_kind(value)}")
    elif not value.strip() and not may_be_empty:
        report(f"{field}: empty")
    else:
        return value
    return ""


def _check_character(value: Any, report: Report) -> None:
    field = "agent_character"
    if not isinstance(value, dict):
        report(f"{field}: must be an object, not {_kind(value)}")
    elif not character_text(value):
        report(f"{field}: empty")


def _dialogue(value: Any, report: Report) -> tuple[Turn, ...]:
    field = "dialogue_context"
    if not isinstance(value, list):
        report(f"{field}: must be a list, not {_kind(value)}")
        return ()
    if not value:
        report(f"{field}: empty")
    turns = []
    for i, turn in enumerate(value):
        key = next(iter(turn)) if isinstance(turn, dict) and len(turn) == 1 else None
        if key not in SPEAKERS:
            report(f'{field}[{i}]: must be {{"user_query": text}} or {{"agent_response": text}}')
            return ()
        turns.append(Turn(SPEAKERS[key], _text(turn[key], f"{field}[{i}].{key}", report)))
    for i in range(1, len(turns)):
        if turns[i].speaker == turns[i - 1].speaker:
            report(f"{field}[{i}]: the {turns[i].speaker} speaks twice in a row, turns must alternate")
    if turns and turns[-1].speaker != "user":
        report(f"{field}: ends with an agent_response, must end with a user_query")
    return tuple(turns)


def _read_package(name: str, records: _Records, faults: list[str]) -> None:
    if name != PACKAGE:
        faults.append(f"package:{name}: no such benchmark in this package: use package:{PACKAGE} or a file")
        return
    folder = importlib.resources.files(__package__) / PACKAGE
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name):
        with importlib.resources.as_file(file) as path:
            rows = read_json(path, faults)
        for i, row in enumerate(rows if isinstance(rows, list) else []):
            records.add(f"{PACKAGE}/{file.name} [{i}]", row, (TRAIN, *CATEGORIES), exact=True)


def _read_lists(path: Path, records: _Records, faults: list[str]) -> None:
    before = len(faults)
    lists = read_json(path, faults)
    if len(faults) > before:
        return
    if not isinstance(lists, dict):
        names = ", ".join(LISTS)
        faults.append(f"{path}: must be an object of the lists {names}, not {_kind(lists)}: bare records go into a .jsonl")
        return
    faults += [f"{path}: {name}: missing list" for name in LISTS if name not in lists]
    faults += [f"{path}: {name}: unknown key, the lists are {', '.join(LISTS)}" for name in lists if name not in LISTS]
    for name, allowed in LISTS.items():
        rows = lists.get(name, [])
        if not isinstance(rows, list):
            faults.append(f"{path}: {name}: must be a list, not {_kind(rows)}")
            continue
        for i, row in enumerate(rows):
            # Further fields of the authors' records are let pass: the file is theirs.
            records.add(f"{path}: {name}[{i}]", row, allowed, exact=False)


def _read_answers(path: Path, records: Sequence[Record], field: str, allowed: set[str] | None) -> dict[str, str]:
    """`allowed`: the records that the file may answer; None: any."""
    faults: list[str] = []
    found: dict[str, str] = {}
    for number, row in read_lines(path, faults):
        place = f"{path}: line {number}"
        identity = row.get("sample_ID") if isinstance(row, dict) else None
        if not isinstance(row, dict) or not isinstance(identity, str) or set(row) != {"sample_ID", field}:
            faults.append(f'{place}: must be {{"sample_ID": text, "{field}": text}} and nothing else')
            if isinstance(identity, str):
                found.setdefault(identity, "")
            continue
        where = f"{place} ({identity!r})"
        if allowed is not None and identity not in allowed:
            faults.append(f"{where}: sample_ID: not a record of the benchmark")
        if identity in found:
            faults.append(f"{where}: sample_ID: a second {field} for this record")

        def report(fault: str, where: str = where) -> None:
            faults.append(f"{where}: {fault}")

        found[identity] = _text(row[field], field, report, may_be_empty=field == "reply")
    # A file that cannot be read at all is one fault, not one a record.
    if found or not faults:
        faults += [f"{path}: no {field} for record {record.id!r}" for record in records if record.id not in found]
    raise_all(faults)
    return {record.id: found[record.id] for record in records}


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
