"""Everything an evaluation scores: golden answers, the policy's replies, and the replies of the control policies."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remid_jax.dialogues.records import Record, has_golden
from remid_jax.scoring.texts import Reply

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)\s*|[。！？]|$)", re.DOTALL)
CONSTANT_REPLY = "I see. Please tell me more about that."


def golden_half(record: Record) -> Reply:
    """A control policy: the golden reply cut in the middle, at a word boundary where the language has them."""
    middle = len(record.golden) // 2
    space = record.golden.rfind(" ", 0, middle + 1)
    return Reply(record.golden[: space if space > middle // 2 else middle].rstrip())


def parrot(record: Record) -> Reply:
    """A control policy: the user's last turn, said back."""
    return Reply(record.dialogue[-1].text)


def reciter(record: Record) -> Reply:
    """A control policy: the user's profile from its beginning, as many sentences as make the length of the golden reply."""
    wanted = len(record.golden) or len(record.dialogue[-1].text)
    sentences = _SENTENCE.findall(record.user_persona) or [record.user_persona]
    said = ""
    for sentence in sentences:
        said += sentence
        if len(said) >= wanted:
            break
    return Reply(said.strip())


def reply_sets(records: Sequence[Record], policy: dict[str, Reply]) -> dict[str, list[Reply]]:
    """For each set of replies of the score table, one reply a record; without golden ones where the records have none."""
    sets = {
        "golden": [Reply(record.golden) for record in records],
        "policy": [policy[record.id] for record in records],
        "golden_half": [golden_half(record) for record in records],
        "constant": [Reply(CONSTANT_REPLY) for _ in records],
        "parrot": [parrot(record) for record in records],
        "reciter": [reciter(record) for record in records],
    }
    return sets if has_golden(records) else {name: said for name, said in sets.items() if not name.startswith("golden")}
