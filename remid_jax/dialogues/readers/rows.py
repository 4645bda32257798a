"""The rows of a source, each with its place: lines, lists, the five lists of PDGBench.json, the package's files, objects."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from remid_jax.dialogues.faults import kind
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record
from remid_jax.files import parse_json, read_json, read_lines

PACKAGE = "rpgbench_compact"
PARTS = ("eight", "more")
"""The folders of the embedded benchmark: its first eight lineages, on which published figures stand, and the later ones."""
Source = str | Path | Sequence[Record | Mapping[str, Any]]

LISTS: dict[str, tuple[str, ...]] = {"IDTrain": ("IDTrain",), "IDTest": ("IDTest",)} | {
    name: RPGBENCH.shifts[shift] for name, shift in (("OOD1Test", "user"), ("OOD2Test", "character"), ("OOD3Test", "dialogue"))
}
"""The lists of PDGBench.json and the categories each may hold."""


class Row(NamedTuple):
    """A JSON value, where it stands, and which of LISTS holds it, if any."""

    place: str
    value: Any
    list_name: str | None = None


def rows_of(source: Source, faults: list[str]) -> Iterator[Row]:
    """Yields the rows of a source that can be read, and adds the faults of the others.

    Raises:
      UserError: if the file cannot be read at all.
    """
    if not isinstance(source, (str, Path)):
        yield from _objects(source, faults)
        return
    name = str(source)
    if name.startswith("package:"):
        yield from _package(name.removeprefix("package:"), faults)
    elif name.removesuffix(".gz").endswith(".jsonl"):
        for number, value in read_lines(name, faults):
            yield Row(f"{name}: line {number}", value)
    elif name.removesuffix(".gz").endswith(".json"):
        yield from _json(name, faults)
    else:
        faults.append(f"{name}: not a benchmark: name a .jsonl, a .json of rows or like PDGBench.json, or package:{PACKAGE}")


def _json(name: str, faults: list[str]) -> Iterator[Row]:
    before = len(faults)
    content = read_json(name, faults)
    if len(faults) > before:
        return
    if isinstance(content, list):
        for i, value in enumerate(content):
            yield Row(f"{name}: [{i}]", value)
        if not content:
            faults.append(f"{name}: is an empty list")
        return
    names = ", ".join(LISTS)
    if not isinstance(content, dict) or not set(content) & set(LISTS):
        what = "an object without them" if isinstance(content, dict) else kind(content)
        faults.append(f"{name}: must be a list of rows, or an object of the lists {names}, not {what}")
        return
    faults += [f"{name}: {missing}: missing list" for missing in LISTS if missing not in content]
    faults += [f"{name}: {key}: unknown key, the lists are {names}" for key in content if key not in LISTS]
    for list_name in LISTS:
        values = content.get(list_name, [])
        if isinstance(values, list):
            for i, value in enumerate(values):
                yield Row(f"{name}: {list_name}[{i}]", value, list_name)
        else:
            faults.append(f"{name}: {list_name}: must be a list, not {kind(values)}")


def _package(name: str, faults: list[str]) -> Iterator[Row]:
    parts = parts_of(name)
    if parts is None:
        faults.append(f"package:{name}: no such benchmark in this package: use package:{PACKAGE} or a file")
        return
    for part in parts:
        for file in sorted((f for f in part.iterdir() if f.name.endswith(".json")), key=lambda f: f.name):
            with importlib.resources.as_file(file) as path:
                values = read_json(path, faults)
            for i, value in enumerate(values if isinstance(values, list) else []):
                yield Row(f"{PACKAGE}/{part.name}/{file.name} [{i}]", value)


def parts_of(name: str) -> list[Traversable] | None:
    """Returns the folders of the embedded benchmark, or of the one part that a name such as "rpgbench_compact/eight" says."""
    folder = importlib.resources.files("remid_jax.dialogues") / PACKAGE
    package, _, part = name.partition("/")
    if package != PACKAGE or part not in ("", *PARTS):
        return None
    return [folder / known for known in PARTS if part in ("", known)]


def _objects(source: Sequence[Record | Mapping[str, object]], faults: list[str]) -> Iterator[Row]:
    """Objects in memory go through JSON, so that they have the faults that a file would have."""
    for i, item in enumerate(source):
        place = f"records[{i}]"
        try:
            data = json.dumps(item.to_json() if isinstance(item, Record) else item, default=_as_json)
        except (TypeError, ValueError, RecursionError) as error:
            faults.append(f"{place}: cannot be written as JSON ({error}): use texts, numbers, lists and mappings")
            continue
        value, found = parse_json(data.encode())
        faults += [f"{place}{fault if fault.startswith(' (') else f': {fault}'}" for fault in found]
        if not found:
            yield Row(place, value)


def _as_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
