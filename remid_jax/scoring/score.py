"""Exact log-likelihoods of given answers after given prompts, as a function."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.models.chat_templates import ControlTokens
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.parallel import Devices
from remid_jax.progress import Reports, Shown
from remid_jax.scoring.engine import Counts, ScoringEngine
from remid_jax.scoring.request_lines import read_request_lines, requests_of
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings


@dataclasses.dataclass(frozen=True)
class Scored:
    """The answers of one request, in their order.

    Attributes:
      id: the request's own.
      loglik: nats an answer, summed in float64.
      n_tokens: tokens an answer.
      logprobs: an array an answer, float32 [tokens], nats.
    """

    id: str | int
    loglik: tuple[float, ...]
    n_tokens: tuple[int, ...]
    logprobs: tuple[np.ndarray, ...] = dataclasses.field(repr=False)

    def line(self) -> dict[str, Any]:
        """Returns what JSON can hold; log-probabilities have the nine digits that determine a float32."""
        rounded = [[float(f"{value:.9g}") for value in row] for row in self.logprobs]
        return {"id": self.id, "loglik": list(self.loglik), "n_tokens": list(self.n_tokens), "logprobs": rounded}


def score(
    model: str | Path | LanguageModel,
    requests: str | Path | Sequence[Mapping[str, Any]],
    *,
    dtype: str = "float32",
    template: Mapping[str, Any] | None = None,
    control_tokens: ControlTokens = "text",
    date: datetime.date | str | None = None,
    store: str | Path | Store | None = None,
    tokens_per_step: int = 2048,
    max_row: int = 2048,
    devices: Devices | None = None,
    progress: Reports | None = None,
) -> list[Scored]:
    """Scores exactly the tokens of the answers; writes nothing but the store it is given.

    Args:
      model: a directory, a .gguf file, `package:NAME`, a hub id, or a model that is opened.
      requests: a JSON Lines file, or mappings with its keys: {"id", "messages" | "prompt" | "prefix_ids",
        "answers": [text, ...] | "answer_ids": [[id, ...], ...]}.
      dtype: "float32" or "bfloat16"; a model that is opened keeps its own.
      template: settings of the chat template, such as {"enable_thinking": False}.
      control_tokens: whether names of control tokens in texts are "text", or "tokens" as transformers reads them.
      date: what a chat template writes as today, 2026-01-31; by default the day it is.
      store: where finished device work is kept; a later call that names the same store computes only what is new.
      tokens_per_step: tokens a device step holds at most.
      max_row: tokens a packed row holds at most; a single longer text still gets a row.
      devices: where it runs; by default on all there are.
      progress: where progress goes; by default to standard error.

    Returns:
      One `Scored` a request, in the order of the requests.

    Raises:
      UserError: for whatever its caller can mend, in one line: every faulty request at once.
    """
    check_settings(ConfigDict({"dtype": dtype, "tokens_per_step": tokens_per_step, "max_row": max_row}))
    day = _day(date)
    lines = read_request_lines(requests)
    devices, reports = devices or Devices(), progress or Shown()
    if not isinstance(model, LanguageModel):
        model = open_model(str(model), dtype, devices.parameter_mesh)
    model = read_as(model, template=dict(template or {}), control_tokens=control_tokens, date=day)
    asked = requests_of(lines, model)
    store = store if isinstance(store, Store) else Store(store or ":memory:")
    engine = ScoringEngine(model, devices, store, tokens_per_step, max_row)
    with reports.stage("score") as advance:
        scores = engine.score(asked, advance)
    reports.say(_summary(len(lines), engine.counts))
    return [_scored(line["id"], rows) for (_, line), rows in zip(lines, scores, strict=True)]


def _day(date: datetime.date | str | None) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(date) if isinstance(date, str) else date
    except ValueError as error:
        raise UserError(f"date: {date!r} is no date: write it as 2026-01-31") from error


def _scored(name: str | int, rows: Sequence[np.ndarray]) -> Scored:
    loglik = tuple(float(row.astype(np.float64).sum()) for row in rows)
    return Scored(name, loglik, tuple(map(len, rows)), tuple(rows))


def _summary(requests: int, counts: Counts) -> str:
    padding = counts.padding / max(1, counts.tokens + counts.padding)
    return (
        f"{requests} requests in {counts.rows} rows, {counts.store_hits} of them from the store; "
        f"{counts.device_steps} device steps, padding {padding:.0%}"
    )
