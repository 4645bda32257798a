"""Records through quality gates, one after the other: who is kept, who is rejected, by which gate and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance, shares


class Gate(Protocol):
    """One question that is asked of every record."""

    name: str

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        """Returns why records are rejected, by their index in `records`; `report` is called with (records done, in all)."""
        ...


@dataclass(frozen=True)
class Reject:
    """A record, the gate that rejected it, and why: the kind of fault, a colon, and what it is in this record."""

    record: Record
    gate: str
    why: str

    @property
    def reason(self) -> str:
        """The kind of fault, the same words for all records that have it."""
        return self.why.partition(": ")[0]

    def to_json(self) -> dict[str, Any]:
        """Returns the reject as a line of rejects.jsonl: {"gate", "why", "record"}."""
        return {"gate": self.gate, "why": self.why, "record": self.record.to_json()}


@dataclass(frozen=True)
class Screening:
    """What came of a screening: records and rejects in the order of the input, rejects by gate.

    `counts` is {gate: {"looked_at", "rejected"}} in the order of the gates; a gate looks at what those before it let pass.
    """

    kept: list[Record]
    rejects: list[Reject]
    counts: dict[str, dict[str, int]]


def screen(records: Sequence[Record], manifest: Manifest, gates: Sequence[Gate], report: Advance) -> Screening:
    """Returns the records that pass all gates, and the others with their reasons.

    Gates are asked in order; a record that one rejects is not looked at by those behind it. Training records have
    `manifest.train` as their category. `report` is called with (records done, in all), where each gate looks at every record.
    """
    kept = list(records)
    rejects: list[Reject] = []
    counts: dict[str, dict[str, int]] = {}
    for gate, advance in zip(gates, shares(report, [1] * len(gates)), strict=True):
        faults = gate.faults(kept, manifest, advance)
        counts[gate.name] = {"looked_at": len(kept), "rejected": len(faults)}
        rejects += [Reject(kept[index], gate.name, faults[index]) for index in sorted(faults)]
        kept = [record for index, record in enumerate(kept) if index not in faults]
    return Screening(kept, rejects, counts)
