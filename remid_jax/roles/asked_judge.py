"""A judge behind an endpoint: its answers are read, since its probabilities are not there to be seen.

A rating is a whole number from 1 to 10, a preference a lone A or B, 1 for the first reply and 0 for the other: the one that its
first line is, or else the only one in all that it says. What it thinks before is not heard. An answer that holds none or
several, or did not come, is NaN; those that did not come are counted.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from remid_jax.dialogues.judge_prompts import WORDINGS, JudgePrompts
from remid_jax.dialogues.prompts import Messages
from remid_jax.dialogues.thoughts import USUAL, split_thoughts
from remid_jax.endpoints.chat import Chat, ChatReply, Missing, Sampling
from remid_jax.endpoints.recorded import Recorded
from remid_jax.errors import UserError
from remid_jax.progress import shares
from remid_jax.roles.ratings import Judged
from remid_jax.scoring.engine import Report

AT_ONCE = 4096  # questions
_SCALE = re.compile(r"(?:/|out of)\s*10\b|\b1\s*(?:to|-|–)\s*10\b")  # "8/10", "from 1 to 10"
_RATING = re.compile(r"(?<![\d.,-])(?:10|[1-9])(?!\d|[.,]\d)")
_NAME = re.compile(r"\b[AB]\b")


class AskedJudge:
    """Asks an endpoint, at temperature 0, for answers of at most `max_new` tokens."""

    unit = "replies"

    def __init__(self, endpoint: Recorded, prompts: JudgePrompts, max_new: int):
        self.endpoint, self.prompts, self.max_new = endpoint, prompts, max_new
        self.missing: Counter[str] = Counter()

    def described(self) -> dict[str, Any]:
        """Returns who judges, for results."""
        return {"source": self.endpoint.name, "dtype": None, "endpoint": self.endpoint.described()}

    def rated(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria wordings"]:
        """Returns the rating of the one reply of each of `asked`, from 1 to 10, or NaN.

        Raises:
          UserError: if no answer holds one.
        """
        questions = (
            self.prompts.rating(of.texts, of.replies[0], criterion, wording)[0]
            for of in asked
            for criterion in self.prompts.criteria
            for wording in WORDINGS
        )
        count = len(asked) * len(self.prompts.criteria) * len(WORDINGS)
        ratings = [_read(_RATING, said) for said in self._said(questions, count, report)]
        found = np.array([np.nan if rating is None else float(rating) for rating in ratings])
        self._check(found, "a number from 1 to 10")
        return found.reshape(len(asked), len(self.prompts.criteria), len(WORDINGS))

    def preferred(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria 2"]:
        """Returns whether it prefers the first of the two replies of each of `asked`, 1, 0 or NaN: shown first, and shown last.

        Raises:
          UserError: if no answer holds a preference.
        """
        questions = (
            self.prompts.pairwise(of.texts, replies[0], replies[1], criterion)[0]
            for of in asked
            for criterion in self.prompts.criteria
            for replies in (of.replies, of.replies[::-1])
        )
        names = [_read(_NAME, said) for said in self._said(questions, len(asked) * len(self.prompts.criteria) * 2, report)]
        found = np.array([np.nan if name is None else float(name == "A") for name in names])
        self._check(found, "a lone A or B")
        shown_first, shown_last = found.reshape(len(asked), len(self.prompts.criteria), 2).transpose(2, 0, 1)
        return np.stack([shown_first, 1 - shown_last], axis=-1)

    def _said(self, questions: Iterator[Messages], count: int, report: Report) -> Iterator[ChatReply | Missing]:
        """The answers to `count` questions; `AT_ONCE` of them are held at a time, since each holds its whole context."""
        sizes = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
        for advance in shares(report, sizes):
            chats = [Chat(messages, Sampling(self.max_new)) for messages in itertools.islice(questions, AT_ONCE)]
            for [reply] in self.endpoint.ask(chats, advance):
                if isinstance(reply, Missing):
                    self.missing[reply.why] += 1
                yield reply

    def _check(self, found: np.ndarray, wanted: str) -> None:
        if len(found) and np.isnan(found).all():
            raise UserError(
                f"{self.endpoint.name}: none of its {len(found)} answers holds {wanted}: raise config.max_new, change the "
                "prompts, or ask another model"
            )


def _read(pattern: re.Pattern[str], reply: ChatReply | Missing) -> str | None:
    if isinstance(reply, Missing):
        return None
    spoken = split_thoughts(reply.text, [USUAL])
    said = _SCALE.sub("", spoken.said).strip() if spoken.ended else ""
    first = said.partition("\n")[0]
    for text in (first if pattern.fullmatch(first.strip(" *_.:#\"'")) else "", said):
        found = set(pattern.findall(text))
        if len(found) == 1:
            return found.pop()
    return None
