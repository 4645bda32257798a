"""From the texts of a dialogue to the ids that are scored, sampled and trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.models.loading import LanguageModel
from remid_jax.models.tokenizer import Tokenizer


def tokenizer_of(model: LanguageModel) -> Tokenizer:
    """The model's tokenizer.

    Raises:
      UserError: if it has none: dialogues are text.
    """
    if model.tokenizer is None:
        raise UserError(f"{model.source}: has no tokenizer, so it cannot read dialogues: add its tokenizer.json")
    return model.tokenizer


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a policy said. `finished`: it ended by itself, so its end belongs to the answer (protocol rule 2)."""

    text: str
    finished: bool = True


def answer_ids(tokenizer: Tokenizer, reply: Reply) -> tuple[int, ...]:
    """The scored ids of a reply: its own, and the end of the turn if it finished."""
    return (*tokenizer.encode(reply.text), *((tokenizer.end_of_turn_id,) if reply.finished else ()))


def chat_ids(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], opening: str = "") -> list[int]:
    """The prompt's ids; `opening` are the first words of the assistant's turn, put into its mouth."""
    return tokenizer.encode_chat(list(map(dict, messages))) + (tokenizer.encode(opening) if opening else [])


def responder_ids(tokenizer: Tokenizer, prompts: Prompts, record: Record | None, features: str | None) -> list[int]:
    """The responder's prefix: with the core features, without (None), or without any context (no record)."""
    messages, header = prompts.contextless() if record is None else prompts.responder(record, features)
    return chat_ids(tokenizer, messages, header)


def judge_ids(tokenizer: Tokenizer, prompts: Prompts, record: Record, features: str | None, candidate: str) -> list[int]:
    """The prefix after which a judge says what share of the features `candidate` matches."""
    return chat_ids(tokenizer, *prompts.judge(record, features, candidate))
