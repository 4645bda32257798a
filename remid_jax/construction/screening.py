"""STUB until the branch gates is merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance


@dataclass(frozen=True)
class Reject:
    record: Record
    gate: str
    why: str


@dataclass(frozen=True)
class Screening:
    kept: list[Record]
    rejects: list[Reject]
    counts: dict[str, dict[str, int]]


def screen(records: Sequence[Record], manifest: Manifest, gates: Sequence[Any], report: Advance) -> Screening:
    return Screening(list(records), [], {})
