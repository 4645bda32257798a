"""The engines of one run: a scoring engine and a generator for each model, over one store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts, ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of

_Who = tuple[str, str, str]


class Engines:
    """Makes each engine once. A device step holds `tokens_per_step` tokens of rows of at most `max_row`, or samples
    `sampling_rows` rows."""

    def __init__(self, devices: Devices, store: Store, tokens_per_step: int, max_row: int, sampling_rows: int):
        self.devices, self.store = devices, store
        self._tokens_per_step, self._max_row, self._sampling_rows = tokens_per_step, max_row, sampling_rows
        self._scoring: dict[_Who, ScoringEngine] = {}
        self._generators: dict[_Who, Generator] = {}

    def scoring(self, model: LanguageModel) -> ScoringEngine:
        """Returns the engine that scores with a model."""
        engine = ScoringEngine(model, self.devices, self.store, self._tokens_per_step, self._max_row)
        return self._scoring.setdefault(_who(model), engine)

    def generator(self, model: LanguageModel) -> Generator:
        """Returns the generator that samples with a model."""
        return self._generators.setdefault(_who(model), Generator(model, self.devices, self.store, self._sampling_rows))

    def counts(self) -> dict[str, Any]:
        """Returns what the engines have done so far: {"scoring" | "sampling": {source: counts}, "loaded": {source: whether}}.

        Models of one source, such as one base under several adapters, are counted together.
        """
        scoring, sampling = self._scoring.values(), self._generators.values()
        loaded: dict[str, bool] = {}
        for engine in scoring:
            loaded[engine.model.source] = loaded.get(engine.model.source, False) or engine.model.loaded
        return {"scoring": _counts(scoring), "sampling": _counts(sampling), "loaded": loaded}


def _who(model: LanguageModel) -> _Who:
    """What tells two models apart: their weights, in what dtype they compute, and how they read texts."""
    return model.fingerprint, model.dtype, tokenizer_of(model).fingerprint


def _counts(engines: Iterable[ScoringEngine] | Iterable[Generator]) -> dict[str, Any]:
    totals: dict[str, Counts] = {}
    for engine in engines:
        totals[engine.model.source] = totals.get(engine.model.source, Counts()) + engine.counts
    return {source: dataclasses.asdict(counts) for source, counts in totals.items()}
