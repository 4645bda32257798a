"""Everything an evaluation scores: golden answers, the policy's replies, and the replies of the control policies."""

from __future__ import annotations

from collections.abc import Sequence

from remid_jax.dialogues.records import Record, has_golden
from remid_jax.scoring.texts import Reply

CONSTANT_REPLY = "I see. Please tell me more about that."


def golden_half(record: Record) -> Reply:
    """A control policy: the golden reply cut in the middle, at a word boundary where the language has them."""
    middle = len(record.golden) // 2
    space = record.golden.rfind(" ", 0, middle + 1)
    return Reply(record.golden[: space if space > middle // 2 else middle].rstrip())


def reply_sets(records: Sequence[Record], policy: dict[str, Reply]) -> dict[str, list[Reply]]:
    """For each set of replies of the score table, one reply a record; without golden ones where the records have none."""
    sets = {
        "golden": [Reply(record.golden) for record in records],
        "policy": [policy[record.id] for record in records],
        "golden_half": [golden_half(record) for record in records],
        "constant": [Reply(CONSTANT_REPLY) for _ in records],
    }
    return sets if has_golden(records) else {name: sets[name] for name in ("policy", "constant")}
