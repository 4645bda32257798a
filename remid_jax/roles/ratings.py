"""A judge of replies: a language model whose ratings and preferences are read off the probabilities of its answers.

A rating is the expected number from 1 to 10, a preference the probability of "A" against "B"; each answer counts with its end,
so that 1 is not the beginning of 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from remid_jax.dialogues.judge_prompts import WORDINGS, ContextTexts, JudgePrompts
from remid_jax.dialogues.prompts import Messages
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, tokenizer_of

RATINGS = tuple(range(1, 11))
NAMES = ("A", "B")


class Judged(NamedTuple):
    """A reply to be rated, or two to be compared; `group` names the context."""

    group: str
    texts: ContextTexts
    replies: tuple[str, ...]


class Judge(Protocol):
    """Whoever rates and compares replies; reports count in its `unit`."""

    prompts: JudgePrompts
    unit: str

    @property
    def missing(self) -> Mapping[str, int]:
        """Why answers did not come, and how many each; they are among those that are NaN."""
        ...

    def described(self) -> dict[str, Any]:
        """Returns who judges, for results: {"source", "dtype", ...}."""
        ...

    def rated(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria wordings"]:
        """Returns the rating of the one reply of each of `asked`, from 1 to 10; NaN where there is none."""
        ...

    def preferred(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria 2"]:
        """Returns how likely it prefers the first of the two replies of each of `asked`: shown first, and shown last."""
        ...


class LocalJudge:
    """A language model on this machine."""

    unit = "tokens"
    missing: Mapping[str, int] = {}

    def __init__(self, engine: ScoringEngine, prompts: JudgePrompts):
        self.engine, self.prompts = engine, prompts

    def described(self) -> dict[str, Any]:
        """Returns who judges, for results."""
        model = self.engine.model
        return {"source": model.source, "dtype": model.dtype, "fingerprint": model.fingerprint}

    def rated(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria wordings"]:
        """Returns the expected rating of the one reply of each of `asked`, from 1 to 10."""
        questions = [
            (of.group, *self.prompts.rating(of.texts, of.replies[0], criterion, wording))
            for of in asked
            for criterion in self.prompts.criteria
            for wording in WORDINGS
        ]
        chances = _chances(self.engine, questions, [str(rating) for rating in RATINGS], report)
        return (chances @ np.array(RATINGS, float)).reshape(len(asked), len(self.prompts.criteria), len(WORDINGS))

    def preferred(self, asked: Sequence[Judged], report: Report) -> Float[np.ndarray, "n criteria 2"]:
        """Returns how likely it prefers the first of the two replies of each of `asked`: shown first, and shown last."""
        questions = [
            (of.group, *self.prompts.pairwise(of.texts, replies[0], replies[1], criterion))
            for of in asked
            for criterion in self.prompts.criteria
            for replies in (of.replies, of.replies[::-1])
        ]
        of_first = _chances(self.engine, questions, NAMES, report)[:, 0].reshape(len(asked), len(self.prompts.criteria), 2)
        return np.stack([of_first[..., 0], 1 - of_first[..., 1]], axis=-1)


def _chances(
    judge: ScoringEngine, questions: Sequence[tuple[str, Messages, str]], answers: Sequence[str], report: Report
) -> Float[np.ndarray, "questions answers"]:
    """How likely each of the answers is after each question, among these."""
    tokenizer = tokenizer_of(judge.model)
    requests = []
    for group, messages, opening in questions:
        prefix = chat_ids(tokenizer, messages, opening)
        requests.append(Request(prefix, [Continuation(answer_ids(tokenizer, Reply(of), prefix)) for of in answers], group))
    scores = judge.score(requests, report)
    return softmax([[row.sum(dtype=np.float64) for row in rows] for rows in scores], axis=1)
