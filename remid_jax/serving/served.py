"""The model that is served, its engines, and the one thread that computes for all who ask."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator, Prompt, Sample
from remid_jax.scoring.pairs import score_pairs
from remid_jax.scoring.ranking import Ranked, RankingEngine
from remid_jax.scoring.requests import Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of
from remid_jax.serving.waiting import Batches

T = TypeVar("T")
SCORE, RANK = "score", "rank"  # kinds of jobs; those of sampling go by their `Sampler`


@dataclasses.dataclass(frozen=True)
class Limits:
    """Tokens that a prompt and a reply may have at most."""

    max_prompt: int
    max_new: int


class Served:
    """One model behind a name. Engines are asked by one thread, the tokenizer by another, which is not made for several.

    Raises:
      UserError: if the model has no tokenizer.
    """

    def __init__(
        self, name: str, model: LanguageModel, devices: Devices, store: Store, tokens_per_step: int, max_row: int,
        sampling_rows: int, limits: Limits,
    ):  # fmt: skip
        self.name, self.model, self.limits = name, model, limits
        self.tokenizer: Tokenizer = tokenizer_of(model)
        self._scoring = ScoringEngine(model, devices, store, tokens_per_step, max_row)
        self._ranking = RankingEngine(model, devices, store, tokens_per_step, max_row)
        self._generator = Generator(model, devices, store, sampling_rows)
        self._batches = Batches(self._compute)
        self._texts = ThreadPoolExecutor(1, "texts")

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """Returns what `work`, which asks the tokenizer, makes of the arguments."""
        return await asyncio.get_running_loop().run_in_executor(self._texts, functools.partial(work, *arguments))

    async def score(self, requests: Sequence[Request]) -> list[list[np.ndarray]]:
        """Returns the log-probabilities of every continuation: [request][continuation] (see `ScoringEngine.score`)."""
        return await asyncio.wrap_future(self._batches.submit(SCORE, requests))

    async def rank(self, requests: Sequence[Request]) -> list[list[Ranked]]:
        """Returns what `RankingEngine.rank` does."""
        return await asyncio.wrap_future(self._batches.submit(RANK, requests))

    async def sample(self, prompts: Sequence[Prompt], sampler: Sampler) -> list[list[Sample]]:
        """Returns the draws of every prompt (see `Generator.generate`)."""
        return await asyncio.wrap_future(self._batches.submit(sampler, prompts))

    def close(self) -> None:
        """Computes what waits, and ends the threads."""
        self._batches.close()
        self._texts.shutdown()

    def _compute(self, kind: Any, items: Sequence[Sequence[Any]]) -> list[list[Any]]:
        together = list(itertools.chain.from_iterable(items))
        results: list[Any]
        if kind == SCORE:
            results = list(score_pairs(self._scoring, [together]))
        elif kind == RANK:
            results = self._ranking.rank(together)
        else:
            results = self._generator.generate(together, kind)
        ordered = iter(results)
        return [list(itertools.islice(ordered, len(item))) for item in items]
