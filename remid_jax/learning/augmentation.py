"""More to learn from the same records, without another model (DA-SFT; docs/metric.md, section 7 (Policies))."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from remid_jax.dialogues.records import Record
from remid_jax.scoring.generation import record_key


def augmented(records: Sequence[Record], seed: int) -> list[Record]:
    """The records, and of each one more for every earlier turn of the agent that something precedes.

    That turn is the golden reply to the dialogue before it, and the character's fields stand in another order, drawn with
    `seed`. An added record is named "{id} turn {number of the turn}" and has its record's lineage.
    """
    return [*records, *(of for record in records for of in _earlier(record, seed))]


def _earlier(record: Record, seed: int) -> list[Record]:
    numbers = [n for n, turn in enumerate(record.dialogue) if n and turn.speaker == "agent"]
    return [
        dataclasses.replace(
            record,
            id=f"{record.id} turn {n}",
            agent_character=_reordered(record.agent_character, record_key(seed, "fields", record.id, n)),
            dialogue=record.dialogue[:n],
            golden=record.dialogue[n].text,
        )
        for n in numbers
    ]


def _reordered(fields: dict[str, object], key: tuple[int, int]) -> dict[str, Any]:
    """The fields in an order that is not theirs, where there is more than one."""
    names, order = list(fields), np.random.default_rng(key).permutation(len(fields))
    if np.array_equal(order, np.arange(len(order))):
        order = np.roll(order, 1)
    return {names[n]: fields[names[n]] for n in order}
