"""Reading a benchmark, training records, ready replies and ready reasoning; what is bad is refused with all its faults at once.

    package:rpgbench_compact   the benchmark inside this package; /eight and /more are its two parts
    *.json                     PDGBench.json as RPGBench's authors publish it, or a list of rows
    *.jsonl                    one row a line
    a sequence                 Records, or mappings with the keys of a row

A row is a record in RPGBench's keys, a chat (`messages`, or ShareGPT's `conversations`), or anything that a mapping describes.
docs/formats.md has each with an example.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, cast, get_args

from remid_jax.dialogues.assembly import Assembly
from remid_jax.dialogues.faults import kind, meant, raise_all
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.manifest_files import manifest_beside, read_manifest
from remid_jax.dialogues.readers import chats, own_keys
from remid_jax.dialogues.readers.cards import read_card
from remid_jax.dialogues.readers.conversations import Conversation, Report, text_of
from remid_jax.dialogues.readers.mapping import Mapping as FieldMapping
from remid_jax.dialogues.readers.mapping import read_mapping
from remid_jax.dialogues.readers.rows import LISTS, PACKAGE, Row, Source, parts_of, rows_of
from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.errors import UserError
from remid_jax.files import read_lines

Format = Literal["auto", "records", "messages", "sharegpt"]
CHATS = {"messages": chats.MESSAGES, "sharegpt": chats.SHAREGPT}
FORMATS = {form.messages: name for name, form in CHATS.items()}
"""The format of a row that has this key; other rows have RPGBench's."""
UNKNOWN_ROW = (
    f"is in no known format, it has none of the keys {', '.join((*own_keys.KEYS, *FORMATS))}: "
    "say by a mapping where they stand (docs/formats.md)"
)


def read_benchmark(
    source: Source,
    *,
    manifest: str | Path | Mapping[str, Any] | Manifest | None = None,
    format: str = "auto",
    mapping: str | Path | Mapping[str, Any] | None = None,
    character: str | Path | None = None,
    every_reply: bool = False,
    categories: Iterable[str] = (),
    golden_optional: bool = False,
) -> Benchmark:
    """Returns the benchmark of a file, of `package:rpgbench_compact`, or of records or mappings.

    Args:
      source: a path, or a sequence of Records or mappings.
      manifest: the categories: a JSON file, its content, or a Manifest. By default NAME.manifest.json beside the source;
        without one, RPGBench's. Rows that name no category form one, "all", or the manifest's if it has exactly one.
      format: what a row is: "records" (RPGBench's keys), "messages", "sharegpt", or "auto", by the first row's keys.
      mapping: where our fields stand in rows with names of their own: a JSON file or its content.
      character: a character card for the rows that hold no character.
      every_reply: cut each dialogue into one record for each reply to the user; they share its lineage.
      categories: those to keep, with the references that they need; all by default.
      golden_optional: whether a row may lack its golden reply; `Record.golden` is then "".

    Raises:
      UserError: one line with every fault, each with its file, row and field. Every category kept, and every reference of one,
        needs two records.
    """
    assembly = _assembled(source, manifest, format, mapping, character, every_reply, golden_optional)
    if not golden_optional:
        assembly.ask_for_golden()
    return assembly.benchmark(tuple(categories))


def read_training(
    source: Source,
    *,
    manifest: str | Path | Mapping[str, Any] | Manifest | None = None,
    format: str = "auto",
    mapping: str | Path | Mapping[str, Any] | None = None,
    character: str | Path | None = None,
    every_reply: bool = False,
) -> list[Record]:
    """Returns the training records of a source: those with the manifest's `train` tag (IDTrain), or all if none has a tag.

    Arguments and faults are those of `read_benchmark`, but test categories may be of any size.
    """
    return _assembled(source, manifest, format, mapping, character, every_reply, False).training()


def read_records(source: Source) -> list[Record]:
    """Returns all records of a source, in the order of its categories, training records first; a category may be of any size.

    Raises:
      UserError: as `read_benchmark`.
    """
    return _assembled(source, None, "auto", None, None, False, False).records()


def _assembled(
    source: Source,
    manifest: str | Path | Mapping[str, Any] | Manifest | None,
    format: str,
    mapping: str | Path | Mapping[str, Any] | None,
    character: str | Path | None,
    every_reply: bool,
    golden_optional: bool,
) -> Assembly:
    """The conversations of a source, with the faults of its rows."""
    if format not in get_args(Format):
        raise UserError(f"format={format!r}: choose one of {', '.join(get_args(Format))}{meant(format, get_args(Format))}")
    path = Path(source) if isinstance(source, (str, Path)) and not str(source).startswith("package:") else None
    given = manifest if manifest is not None or path is None else manifest_beside(path)
    fields = read_mapping(mapping) if mapping is not None else None
    assembly = Assembly(
        str(source) if isinstance(source, (str, Path)) else "records",
        path,
        read_manifest(given) if given is not None else None,
        read_card(character) if character is not None else None,
        every_reply,
    )
    for row in rows_of(source, assembly.faults):
        if not isinstance(row.value, dict):
            assembly.faults.append(f"{row.place}: a record must be an object, not {kind(row.value)}")
            continue
        if format == "auto":
            talk = fields.talk if fields is not None else next((key for key in FORMATS if key in row.value), "dialogue_context")
            format = FORMATS.get(talk, "records")
            if fields is None and not {*own_keys.KEYS, *FORMATS} & set(row.value):
                assembly.faults.append(f"{row.place}: {UNKNOWN_ROW}")
                break
        _add(assembly, row, format, fields, golden_optional)
    if fields is not None:
        assembly.faults += [f"{assembly.name}: {fault}" for fault in fields.faults()]
    return assembly


def _add(assembly: Assembly, row: Row, format: str, fields: FieldMapping | None, golden_optional: bool) -> None:
    """Reads a row as the format says, under the names that `fields` gives it, if any."""
    named = [row.value.get(key) for key in ("sample_ID", "id")] if fields is None else [fields.identity(row.value)]
    where = next((f"{row.place} ({name!r})" for name in named if isinstance(name, (str, int))), row.place)
    before = len(assembly.faults)

    def report(fault: str) -> None:
        assembly.faults.append(f"{where}: {fault}")

    value, told = row.value, cast(Report, report)
    if fields is not None:
        told = fields.translated(report)
        value = fields(row.value, told)
        if len(assembly.faults) > before:
            told = _silent  # what else is wrong with the row may follow from that
    if format in CHATS:
        conversation = chats.conversation_of(value, told, CHATS[format], golden_optional)
    else:
        allowed = LISTS.get(row.list_name or "", ())
        optional = {"agent_character"} | ({"agent_golden_response"} if golden_optional else set())
        optional |= {"subset_tag"} if len(allowed) == 1 else set()  # such a list names the category itself
        optional |= {"sample_ID", "user_persona", "subset_tag"} if fields is not None else set()
        # Further fields of the authors' records are let pass: the file is theirs.
        conversation = own_keys.conversation_of(value, told, optional, exact=row.list_name is None)
        if row.list_name is not None:
            conversation = _listed(conversation, allowed, report)
    assembly.add(conversation, row.place, where, before)


def _silent(_: str) -> None:
    """Takes a fault that nobody needs to hear."""


def _listed(conversation: Conversation, allowed: Sequence[str], report: Report) -> Conversation:
    """A record of a list of PDGBench.json, in a category that the list may hold; "" if it names another."""
    tag = conversation.category or (allowed[0] if len(allowed) == 1 else "")
    right = next((name for name, categories in LISTS.items() if tag in categories), None)
    if tag and tag not in allowed:
        unknown = f"unknown category {tag!r}, must be one of {', '.join(allowed)}"
        report(f"subset_tag: {unknown if right is None else f'{tag!r} belongs in the list {right}'}")
        tag = ""
    return dataclasses.replace(conversation, category=tag)


def read_replies(path: str | Path, records: Sequence[Record], known: Sequence[Record] = ()) -> dict[str, str]:
    """Ready replies, one {"sample_ID", "reply"} a line, as id -> reply in the order of `records`; every record needs one.

    The file may have replies to `known` records, too. Raises UserError: one line with every fault.
    """
    found = _read_answers(Path(path), records, "reply", {record.id for record in (*records, *known)})
    return {record.id: found[record.id] for record in records}


def read_reasoning(source: str | Path, records: Sequence[Record], known: Sequence[Record] = ()) -> dict[str, str]:
    """Ready reasoning, one {"sample_ID", "reasoning"} a line, as id -> reasoning; otherwise like `read_replies`.

    `package:rpgbench_compact` is the teacher's reasoning for the embedded benchmark, of which `records` may be a part. It was
    written with the golden replies in view: it is for training, never for an evaluation.
    """
    written: dict[str, str] = {}
    if str(source).startswith("package:"):
        for file in teacher_files(str(source)):
            with importlib.resources.as_file(file) as path:
                written |= _read_answers(path, (), "reasoning", None)
        raise_all([f"{source}: no reasoning for record {record.id!r}" for record in records if record.id not in written])
    else:
        written = _read_answers(Path(source), records, "reasoning", {record.id for record in (*records, *known)})
    return {record.id: written[record.id] for record in records}


def teacher_files(source: str) -> list[Traversable]:
    """Returns the files of the teacher's reasoning for the embedded benchmark, or for a part of it.

    Raises:
      UserError: the package holds no such reasoning.
    """
    parts = parts_of(source.removeprefix("package:"))
    if parts is None:
        raise UserError(f"{source}: no such reasoning in this package: use package:{PACKAGE} or a file")
    return [part / "teacher.jsonl" for part in parts]


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

        found[identity] = text_of(row[field], field, report, may_be_empty=field == "reply")
    # A file that cannot be read at all is one fault, not one a record.
    if found or not faults:
        faults += [f"{path}: no {field} for record {record.id!r}" for record in records if record.id not in found]
    raise_all(faults)
    return found
