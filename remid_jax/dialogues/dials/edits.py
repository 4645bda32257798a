"""Edited records of a file, for the dial `edited(FILE)`.

A line names a record of the benchmark and what is other in it, in RPGBench's keys:

    {"sample_ID": "id-test-1", "dialogue_context": [{"user_query": ...}, ...], "agent_golden_response": "..."}

What a line leaves out stays. A golden reply stays right only if the line says so by giving one: an edit is made so that another
reply is due. Either all lines give one or none does; then the category has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remid_jax.dialogues.faults import kind, raise_all
from remid_jax.dialogues.readers.own_keys import conversation_of
from remid_jax.dialogues.records import Record
from remid_jax.files import read_lines

EDITED = ("user_persona", "agent_character", "dialogue_context", "agent_golden_response")


@dataclass(frozen=True)
class Edits:
    """Edited records by the id of their originals; `golden`: whether they have golden replies."""

    records: Mapping[str, Record]
    golden: bool

    @property
    def fingerprint(self) -> str:
        """sha256 of the edited records."""
        lines = [json.dumps(record.to_json()) for record in self.records.values()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def applied(self, records: Sequence[Record], written: str) -> list[Record]:
        """Returns the edited records of those among `records` that have an edit, with `written` behind their ids."""
        return [
            dataclasses.replace(self.records[record.id], id=f"{record.id} {written}")
            for record in records
            if record.id in self.records
        ]


def read_edits(path: str, records: Sequence[Record]) -> Edits:
    """Reads the edits of a file, of these records.

    Raises:
      UserError: one line with every fault: a record that there is none of or that is edited twice, a key that is none of
        `EDITED`, a value that is no such thing, golden replies in some lines only.
    """
    known = {record.id: record for record in records}
    faults: list[str] = []
    edited: dict[str, Record] = {}
    for number, row in read_lines(path, faults):
        place = f"{path}: line {number}"
        if not isinstance(row, dict):
            faults.append(f"{place}: must be an object, not {kind(row)}")
            continue
        identity = row.get("sample_ID")
        if not isinstance(identity, str) or identity not in known:
            faults.append(f"{place}: sample_ID: {identity!r} is no record of the benchmark")
            continue
        if identity in edited:
            faults.append(f"{place}: sample_ID: a second edit of {identity!r}")
        before = len(faults)
        record = _edited(known[identity], row, f"{place} ({identity!r})", faults)
        if len(faults) == before:
            edited[identity] = record
    golden = sum(bool(record.golden) for record in edited.values())
    if not faults and 0 < golden < len(edited):
        faults.append(f"{path}: {golden} of {len(edited)} edits have an agent_golden_response: give one to all or to none")
    raise_all(faults)
    return Edits(edited, golden > 0)


def _edited(record: Record, row: Mapping[str, object], where: str, faults: list[str]) -> Record:
    def report(fault: str) -> None:
        faults.append(f"{where}: {fault}")

    for key in row:
        if key not in ("sample_ID", *EDITED):
            report(f"{key}: cannot be edited: an edit may hold {', '.join(EDITED)}")
    whole = record.to_json()
    whole.pop("agent_golden_response", None)
    conversation = conversation_of(whole | dict(row), report, ("agent_golden_response",), exact=False)
    character = row.get("agent_character", record.agent_character)
    if not isinstance(character, dict):
        report(f"agent_character: must be an object, not {kind(character)}")
        character = {}
    turns = conversation.turns
    golden = turns[-1].text if turns and turns[-1].speaker == "agent" else ""
    return dataclasses.replace(
        record,
        user_persona=conversation.user_persona,
        agent_character=character,
        dialogue=turns[:-1] if golden else turns,
        golden=golden,
    )
