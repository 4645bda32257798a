"""Log-probabilities of given tokens beside those of the likeliest ones, as clients of completions ask for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from remid_jax.models.config import DecoderConfig
from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Begun, ScoringEngine, make_batch
from remid_jax.scoring.kernel import Batch, rank_batch
from remid_jax.scoring.packing import Plan
from remid_jax.scoring.pairs import score_pairs
from remid_jax.scoring.requests import Request
from remid_jax.scoring.store import Store


class Ranked(NamedTuple):
    """Of each token of a continuation its log-probability, nats, and the likeliest token's in its place, with that one's id;
    the two log-probabilities are equal, to the bit, where the token is the likeliest."""

    logprobs: np.ndarray
    best_logprobs: np.ndarray
    best_ids: np.ndarray


class RankingEngine(ScoringEngine):
    """Ranks requests with one model, by the plan, the store and the steps of its base."""

    def __init__(self, model: LanguageModel, devices: Devices, store: Store, tokens_per_step: int, max_row: int):
        super().__init__(model, devices, store, tokens_per_step, max_row)
        self._context = self._context | {"ranked": True}

    def rank(self, requests: Sequence[Request]) -> list[list[Ranked]]:
        """Returns what each continuation's tokens are worth beside the likeliest: [request][continuation].

        Raises:
          UserError: as `ScoringEngine.score`.
        """
        return [[_ranked(values) for values in continuations] for continuations in score_pairs(self, [requests])]

    def begin_scores(self, plan: Plan, numbers: Sequence[int]) -> Begun:
        rows, size = [plan.rows[n] for n in numbers], plan.steps[numbers[0]]
        batch = make_batch(rows, size, rows[0].bucket)
        step = _ranking(self.devices, self.model.config)
        return step(self._params, self.devices.place_batch(batch)), [len(row.scored) for row in rows]


def _ranked(values: np.ndarray) -> Ranked:
    """Values from the store are flat."""
    columns = values.reshape(-1, 3)
    return Ranked(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int64))


@functools.lru_cache(maxsize=64)
def _ranking(devices: Devices, config: DecoderConfig) -> Callable:
    def rank_rows(params: nnx.State, batch: Batch) -> jax.Array:  # named, so that logs of compilations name it
        return rank_batch(config, params, batch)

    return devices.spread(rank_rows)
