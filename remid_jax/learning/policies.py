"""What role-playing policies learn from: records as prompts with golden replies (method.md, section 7)."""

from __future__ import annotations

from collections.abc import Sequence

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.learning.supervised import Example
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids


def golden_examples(records: Sequence[Record], prompts: Prompts, tokenizer: Tokenizer) -> list[Example]:
    """The policy's prompt and the golden reply with its end, for every record."""
    return [
        Example(record.id, chat_ids(tokenizer, prompts.policy(record)), answer_ids(tokenizer, Reply(record.golden)))
        for record in records
    ]
