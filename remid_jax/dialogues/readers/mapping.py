"""Rows with names of their own: a mapping says where in a row each of our fields stands, as a path of keys joined by dots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Object
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo, field_validator

from remid_jax.dialogues.faults import kind, meant, raise_all
from remid_jax.dialogues.readers.conversations import Report
from remid_jax.dialogues.validated import Written, validated
from remid_jax.files import read_json

_NOWHERE = object()
TALKS = ("dialogue_context", "messages", "conversations")


class DialoguePath(Written):
    """Where a dialogue stands, what its turns call their speaker and text, and who the speakers are."""

    path: str
    speaker: str
    text: str
    user: list[str]
    agent: list[str]


class _Fields(Written):
    sample_ID: str | None = None
    lineage: Any = None
    subset_tag: str | None = None
    user_persona: str | None = None
    user_name: str | None = None
    agent_character: Any = None
    dialogue_context: Any = None
    agent_golden_response: str | None = None
    messages: str | None = None
    conversations: str | None = None

    @field_validator("agent_character", "lineage")
    @classmethod
    def _is_a_path_or_several(cls, value: Any, info: ValidationInfo) -> Any:
        paths = list(value.values()) if isinstance(value, dict) else [value]
        if not paths or not all(isinstance(path, str) for path in paths):
            parts = "kind of cluster" if info.field_name == "lineage" else "key of the character"
            raise ValueError(f"must be a path, or an object of a path for each {parts}")
        return value


class Mapping:
    """Gives rows our names, and remembers which of its paths no row had."""

    def __init__(self, fields: dict[str, str | dict[str, str] | DialoguePath]):
        self.fields = fields
        self.unseen = dict(self._paths())
        self.first_row: Any = None

    @property
    def talk(self) -> str:
        """Which of TALKS it gives."""
        return next(name for name in TALKS if name in self.fields)

    def identity(self, row: dict[str, Any]) -> Any:
        """Returns what stands where the row's id is, if anything."""
        place = self.fields.get("sample_ID")
        return _at(row, place) if isinstance(place, str) else None

    def __call__(self, row: dict[str, Any], report: Report) -> dict[str, Any]:
        """Returns the row under our names; what it has nothing of is left out."""
        self.first_row = row if self.first_row is None else self.first_row
        for field, path in self._paths():
            if _at(row, path, absent=_NOWHERE) is not _NOWHERE:
                self.unseen.pop(field, None)
        result: dict[str, Any] = {}
        for name, place in self.fields.items():
            if isinstance(place, DialoguePath):
                turns = _turns(_at(row, place.path), place, report)
                golden_is_last = isinstance(turns, list) and turns and "agent_response" in turns[-1]
                if golden_is_last and "agent_golden_response" not in self.fields:
                    result["agent_golden_response"] = turns.pop()["agent_response"]
                value: Any = turns
            elif isinstance(place, dict):
                parts = {key: part for key, path in place.items() if (part := _at(row, path)) is not None}
                value = {key: _as_field(name, part) for key, part in parts.items()} if name == "lineage" else parts
            else:
                value = _as_field(name, _at(row, place))
            if value is not None:
                result[name] = value
        return result

    def translated(self, report: Report) -> Report:
        """Returns a report that names each field by its path in the rows."""

        def translate(fault: str) -> None:
            head = re.match(r"\w+", fault)
            place = self.fields.get(head[0]) if head else None
            path = place.path if isinstance(place, DialoguePath) else place
            report(fault if head is None or not isinstance(path, str) else path + fault[head.end() :])

        return translate

    def faults(self) -> list[str]:
        """Returns the paths that no row had."""
        known = list(_known_paths(self.first_row)) if isinstance(self.first_row, dict) else []
        return [f"mapping: {field}: no row has {path!r}{meant(path, known)}" for field, path in self.unseen.items()]

    def _paths(self) -> Iterator[tuple[str, str]]:
        for name, place in self.fields.items():
            if isinstance(place, dict):
                yield from ((f"{name}.{key}", path) for key, path in place.items())
            else:
                yield name, place.path if isinstance(place, DialoguePath) else place


def read_mapping(source: str | Path | Object[str, Any]) -> Mapping:
    """Returns the mapping of a JSON file, or of its content: {"sample_ID": "conv_id", "user_persona": "user.profile", ...}.

    Raises:
      UserError: one line with every fault.
    """
    faults: list[str] = []
    place = "mapping" if isinstance(source, Object) else str(source)
    content = source if isinstance(source, Object) else read_json(source, faults)
    raise_all(faults)
    read = validated(_Fields, content, faults)
    fields: dict[str, Any] = {}
    if read is not None:
        fields = {name: value for name, value in read if value is not None}
        if isinstance(fields.get("dialogue_context"), dict):
            below: list[str] = []
            fields["dialogue_context"] = validated(DialoguePath, fields["dialogue_context"], below)
            faults += [f"dialogue_context.{fault}" for fault in below]
        elif not isinstance(fields.get("dialogue_context", ""), str):
            faults.append("dialogue_context: must be a path, or an object of path, speaker, text, user and agent")
        talks = [name for name in TALKS if name in fields]
        if len(talks) != 1:
            given = " and ".join(talks) or "none"
            faults.append(f"must say where one of {', '.join(TALKS)} stands, not {given}")
    raise_all([f"{place}: {fault}" for fault in faults])
    return Mapping(fields)


def _at(row: Any, path: str, absent: Any = None) -> Any:
    """What stands at a path; a whole key with dots in it goes first, numbers count in lists; `absent` where nothing stands."""
    if isinstance(row, dict) and path in row:
        return row[path]
    for step in path.split("."):
        if isinstance(row, list) and step.isdigit() and int(step) < len(row):
            row = row[int(step)]
        elif isinstance(row, dict) and step in row:
            row = row[step]
        else:
            return absent
    return row


def _as_field(name: str, value: Any) -> Any:
    """Numbers as ids, lists of texts as one persona, a text as a character's description: what rows of others mean by them."""
    if name in ("sample_ID", "lineage", "subset_tag") and type(value) is int:
        return str(value)
    if name == "user_persona" and isinstance(value, list) and all(isinstance(text, str) for text in value):
        return " ".join(value)
    if name == "agent_character" and isinstance(value, (str, list)) and not str(value).lower().endswith((".png", ".json")):
        return {"description": value}
    return value


def _turns(value: Any, form: DialoguePath, report: Report) -> Any:
    """The dialogue in our keys, or as it is where it is no list."""
    if not isinstance(value, list):
        return value
    turns = []
    for i, turn in enumerate(value):
        speaker = turn.get(form.speaker) if isinstance(turn, dict) else None
        if speaker in form.user or speaker in form.agent:
            turns.append({"user_query" if speaker in form.user else "agent_response": turn.get(form.text)})
        else:
            said = repr(speaker) if isinstance(speaker, str) else kind(turn if not isinstance(turn, dict) else speaker)
            names = ", ".join([*form.user, *form.agent])
            report(f"dialogue_context[{i}].{form.speaker}: must be one of {names}, not {said}")
    return turns


def _known_paths(row: dict[str, Any], at: str = "") -> Iterator[str]:
    for key, value in row.items():
        yield f"{at}{key}"
        if isinstance(value, dict):
            yield from _known_paths(value, f"{at}{key}.")
