"""From the texts of a dialogue to the ids that are scored, sampled and trained on."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.dialogues import copying
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.dialogues.thoughts import USUAL, opened_thought, split_thoughts, thought_tags
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
class Thought:
    """What a model thought before it spoke, in how many tokens, its tags among them; `ended`: before the token limit."""

    text: str
    tokens: int
    ended: bool


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a policy said. `finished`: it ended by itself, so its end belongs to the answer (docs/protocol.md, rule 2)."""

    text: str
    finished: bool = True
    thought: Thought | None = None


def answer_ids(tokenizer: Tokenizer, reply: Reply, after: Sequence[int] = ()) -> tuple[int, ...]:
    """The ids of a whole reply behind the ids `after`: its own, and the end of the turn if it finished."""
    return (*tokenizer.encode(reply.text, after), *((tokenizer.end_of_turn_id,) if reply.finished else ()))


class Answer(NamedTuple):
    """The scored ids of a reply and the code points of their text; a character of which a first piece is scored counts."""

    ids: tuple[int, ...]
    chars: int


def scored_answer(tokenizer: Tokenizer, reply: Reply, horizon: int | None) -> Answer:
    """What is scored of a reply: all of it, or its first `horizon` ids (docs/protocol.md, rule 21).

    So the end is scored only of a reply that is shorter.
    """
    whole = answer_ids(tokenizer, reply)
    scored, text = whole[:horizon], len(reply.text)
    return Answer(scored, text if len(scored) == len(whole) else min(text, len(tokenizer.decode(scored))))


def chat_ids(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], opening: str = "") -> list[int]:
    """The prompt's ids; `opening` are the first words of the assistant's turn, put into its mouth."""
    ids = tokenizer.encode_chat(messages)
    return ids + tokenizer.encode(opening, after=ids) if opening else ids


def ready(tokenizer: Tokenizer, text: str) -> Reply:
    """A reply that was written elsewhere, without what its model thought, if that stands in it; a cut thought leaves none."""
    if not any(tag in text for tag in USUAL):
        return Reply(text)
    spoken = split_thoughts(text, [USUAL])
    tokens = len(tokenizer.encode(text)) - len(tokenizer.encode(spoken.said))
    return Reply(spoken.said if spoken.ended else "", True, Thought(spoken.thoughts, tokens, spoken.ended))


def heard(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, Thought | None]:
    """What a model said in `ids`, and what it thought before; None if it did not."""
    tags = thought_tags(tokenizer.chat.text)
    opened = opened_thought(tokenizer.chat.generation_prompt, tags)
    names = [name for pair in tags for name in pair]
    text = tokenizer.decode(ids, keep=names)
    spoken = split_thoughts(text, tags, opened)
    if not spoken.thoughts and spoken.ended and not any(name in text for name in names):
        return text, None
    tokens = len(ids)
    if spoken.ended:  # as many as there are before the last closing tag is whole
        closings = [closing for _, closing in tags]
        wanted = sum(text.count(closing) for closing in closings)

        def closed(count: int) -> bool:
            written = tokenizer.decode(ids[:count], keep=names)
            return sum(written.count(closing) for closing in closings) >= wanted

        tokens = bisect.bisect_left(range(len(ids) + 1), True, key=closed)
    return spoken.said, Thought(spoken.thoughts, tokens, spoken.ended)


def responder_ids(tokenizer: Tokenizer, prompts: Prompts, record: Record | None, features: str | None) -> list[int]:
    """The responder's prefix: with the core features, without (None), or without any context (no record)."""
    messages, header = prompts.contextless() if record is None else prompts.responder(record, features)
    return chat_ids(tokenizer, messages, header)


def judge_ids(tokenizer: Tokenizer, prompts: Prompts, record: Record, features: str | None, candidate: str) -> list[int]:
    """The prefix after which a judge says what share of the features `candidate` matches."""
    return chat_ids(tokenizer, *prompts.judge(record, features, candidate))


def token_sources(tokenizer: Tokenizer, ids: Sequence[int], record: Record) -> np.ndarray:
    """Where each scored id of a reply in this context comes from, as numbers of `copying` [ids].

    An id is where its first visible character is; one that is part of a character, where that is.
    """
    ended = bool(len(ids)) and ids[-1] == tokenizer.end_of_turn_id
    said = list(ids[:-1]) if ended else list(ids)
    *beginnings, text = tokenizer.decode_beginnings(said)
    starts = [_shared(beginning, text) for beginning in beginnings] + [len(text)]
    of_characters = copying.character_sources(text, record)
    sources = np.full(len(ids), copying.OWN, np.int8)
    for place, (start, end) in enumerate(itertools.pairwise(starts)):
        visible = next((k for k in range(start, end) if not text[k].isspace()), start)
        if visible < len(text):
            sources[place] = of_characters[visible]
    if ended:
        sources[-1] = of_characters[-1]
    return sources


def _shared(beginning: str, text: str) -> int:
    """How far a text begins as `beginning` does; the characters after that are not whole yet."""
    if text.startswith(beginning):
        return len(beginning)
    pairs = enumerate(zip(beginning, text, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(text))
