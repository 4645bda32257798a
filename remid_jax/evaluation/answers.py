"""Everything an evaluation scores: golden answers, the policy's replies, and the replies of the control policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from remid_jax.dialogues.records import Record
from remid_jax.models.tokenizer import Tokenizer

CONSTANT_REPLY = "I see. Please tell me more about that."


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a policy said. `finished`: it ended by itself, so its end belongs to the answer (protocol rule 2)."""

    text: str
    finished: bool = True


def answer_ids(tokenizer: Tokenizer, reply: Reply) -> tuple[int, ...]:
    """The scored ids of a reply: its own, and the end of the turn if it finished."""
    return (*tokenizer.encode(reply.text), *((tokenizer.end_of_turn_id,) if reply.finished else ()))


def golden_half(record: Record) -> Reply:
    """A control policy: the golden reply cut in the middle, at a word boundary where the language has them."""
    middle = len(record.golden) // 2
    space = record.golden.rfind(" ", 0, middle + 1)
    return Reply(record.golden[: space if space > middle // 2 else middle].rstrip())


def reply_sets(records: Sequence[Record], policy: dict[str, Reply]) -> dict[str, list[Reply]]:
    """For each set of replies of the score table, one reply a record."""
    return {
        "golden": [Reply(record.golden) for record in records],
        "policy": [policy[record.id] for record in records],
        "golden_half": [golden_half(record) for record in records],
        "constant": [Reply(CONSTANT_REPLY) for _ in records],
    }
