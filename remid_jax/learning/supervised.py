"""Learning from given answers, as recipes: SFT, and DPO from pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from remid_jax.learning.journal import Row
from remid_jax.learning.loop import Lesson
from remid_jax.models.loading import LanguageModel
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request


@dataclasses.dataclass(frozen=True)
class Example:
    """A prompt and the answer to learn, as ids; of a pair also the answer to unlearn. `rollouts` are rows for a table: what was
    drawn for it."""

    name: str
    prefix: Sequence[int]
    answer: Sequence[int]
    rejected: Sequence[int] = ()
    rollouts: Sequence[Row] = ()

    def request(self) -> Request:
        answers = [self.answer, self.rejected] if self.rejected else [self.answer]
        return Request(self.prefix, [Continuation(ids) for ids in answers], self.name)


@dataclasses.dataclass(frozen=True)
class LikelihoodRecipe:
    """SFT on the examples' answers."""

    examples: Sequence[Example]

    def __call__(self, learner: LanguageModel, numbers: Sequence[int], step: int) -> Lesson:
        chosen = [self.examples[n] for n in numbers]
        return Lesson([of.name for of in chosen], [of.request() for of in chosen], {}, rollouts=_rollouts(chosen))


@dataclasses.dataclass(frozen=True)
class PreferenceRecipe:
    """DPO on the examples' pairs; `reference` scores both answers."""

    examples: Sequence[Example]
    reference: ScoringEngine

    def __call__(self, learner: LanguageModel, numbers: Sequence[int], step: int) -> Lesson:
        chosen = [self.examples[n] for n in numbers]
        requests = [of.request() for of in chosen]
        logliks = [[float(row.sum(dtype="float64")) for row in pair] for pair in self.reference.score(requests)]
        return Lesson([of.name for of in chosen], requests, {"reference": logliks}, rollouts=_rollouts(chosen))


def _rollouts(examples: Sequence[Example]) -> list[Row]:
    return [row for of in examples for row in of.rollouts]
