"""The engines of one run: a scoring engine and a generator for each model, over one store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of

_Who = tuple[str, str]


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
        """Returns what the engines have done so far: {"scoring" | "sampling": {model: counts}, "loaded": {model: whether}}."""
        scoring, sampling = self._scoring.values(), self._generators.values()
        return {
            "scoring": _counts(scoring),
            "sampling": _counts(sampling),
            "loaded": {engine.model.source: engine.model.loaded for engine in scoring},
        }


def _who(model: LanguageModel) -> _Who:
    """What tells two models apart: their weights, and how they read texts."""
    return model.fingerprint, tokenizer_of(model).fingerprint


def _counts(engines: Iterable[ScoringEngine] | Iterable[Generator]) -> dict[str, Any]:
    return {engine.model.source: dataclasses.asdict(engine.counts) for engine in engines}
