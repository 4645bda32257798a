"""What is evaluated: a record is a context x = (user persona, character, dialogue) and its golden reply y*.

The words are those of docs/metric.md, sections 1 (Objects) and 6 (RPGBench).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.files import as_line, write_rows


class Turn(NamedTuple):
    speaker: Literal["user", "agent"]
    text: str


@dataclass(frozen=True)
class Record:
    """A context and its golden reply.

    `agent_character` is any mapping (its values may be nested lists and mappings), in the order of its file. `dialogue`
    alternates and ends with the user. Records with one `lineage` share a base dialogue, character or user: they are one cluster
    of the intervals and never on both sides of a cross-fit (docs/protocol.md, rules 10 and 19). Without one a record is its own
    lineage. `clusters` are for records that share their user with some and their character with others: {"user": "u7",
    "character": "c2"}, of which `lineage` is then made. `golden` is "" where there is no golden reply.
    """

    id: str
    user_persona: str
    agent_character: dict[str, object]
    dialogue: tuple[Turn, ...]
    golden: str
    category: str
    lineage: str = ""
    clusters: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.clusters:
            object.__setattr__(self, "lineage", ", ".join(sorted(self.origins)))
        elif not self.lineage:
            object.__setattr__(self, "lineage", self.id)

    @property
    def origins(self) -> frozenset[str]:
        """What it was made from: its lineage, or each of its clusters with its kind. Related records have one in common."""
        return frozenset(f"{kind} {name}" for kind, name in self.clusters.items()) or frozenset({self.lineage})

    def in_category(self, category: str) -> Record:
        """Returns the record as one of another category."""
        return dataclasses.replace(self, category=category)

    @property
    def character_text(self) -> str:
        return character_text(self.agent_character)

    @property
    def dialogue_text(self) -> str:
        """The dialogue as `User:` and `Agent:` lines."""
        return "\n".join(f"{turn.speaker.capitalize()}: {turn.text}" for turn in self.dialogue)

    def to_json(self) -> dict[str, Any]:
        """Returns the record in the keys of RPGBench, plus `lineage`; without a golden reply that key is left out."""
        row = {
            "sample_ID": self.id,
            "lineage": dict(self.clusters) or self.lineage,
            "subset_tag": self.category,
            "user_persona": self.user_persona,
            "agent_character": self.agent_character,
            "dialogue_context": [{"user_query" if t.speaker == "user" else "agent_response": t.text} for t in self.dialogue],
            "agent_golden_response": self.golden,
        }
        return row if self.golden else {key: value for key, value in row.items() if key != "agent_golden_response"}


def has_golden(records: Iterable[Record]) -> bool:
    """Returns whether every one of `records` has a golden reply."""
    return all(record.golden for record in records)


def character_text(character: dict[str, object]) -> str:
    """The character as `key: value` lines; lists and nested mappings on one line, empty values left out.

    >>> print(character_text({"name": "Ada", "skills": ["poetry", "engines"], "age": None}))
    name: Ada
    skills: poetry; engines
    """
    return "\n".join(_pairs(character))


def _pairs(mapping: dict[str, object]) -> list[str]:
    return [f"{key}: {text}" for key, value in mapping.items() if (text := _inline(value))]


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(_pairs(value))
    if isinstance(value, list):
        return "; ".join(text for text in map(_inline, value) if text)
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else json.dumps(value)


@dataclass(frozen=True)
class Benchmark:
    """Training records, and test records by category in the order of the manifest; only categories with records occur."""

    train: list[Record]
    test: dict[str, list[Record]]
    manifest: Manifest = RPGBENCH

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over a manifest that is not RPGBench's, and the records in order, whatever files held them."""
        digest = hashlib.sha256()
        if self.manifest != RPGBENCH:
            digest.update(as_line(self.manifest.to_json()).encode())
        for record in (*self.train, *(r for records in self.test.values() for r in records)):
            digest.update(as_line(record.to_json()).encode())
        return digest.hexdigest()


def write_jsonl(path: str | Path, records: Iterable[Record]) -> None:
    """Writes one record a line, as `read_benchmark` reads it.

    Raises:
      UserError: as `write_rows`.
    """
    write_rows(path, (record.to_json() for record in records))
