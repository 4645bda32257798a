"""Exact log-likelihoods of given answers after given prompts, as a function.

Lines are read, planned and scored window by window, so the first are done soon and memory does not grow with their number.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
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
from remid_jax.scoring.pairs import ahead, score_pairs
from remid_jax.scoring.request_lines import RequestLines
from remid_jax.scoring.requests import Request
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

FIRST_PAIRS, MOST_PAIRS = 256, 4096  # answers of the first window of lines, and of later ones; each is twice the one before
MOST_TOKENS = 2**20  # of a window
CHECKED_FIRST = 3.0  # seconds in which lines are only checked; the others are checked while some are scored
CHECKED_AHEAD = 4  # windows that are checked while one is scored


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
      store: where finished device work is kept; a later call that names the same store computes only the pairs of prompt and
        answer that are new. A pair's numbers move with those beside it by rounding: below 5e-5 nats a token in float32.
      tokens_per_step: tokens a device step holds at most.
      max_row: tokens a packed row holds at most; a single longer text still gets a row.
      devices: where it runs; by default on all there are.
      progress: where progress goes; by default to standard error.

    Returns:
      One `Scored` a request, in the order of the requests.

    Raises:
      UserError: for whatever its caller can mend, in one line: every faulty request at once.
    """
    engine = scoring_engine(
        model, dtype=dtype, template=template, control_tokens=control_tokens, date=date, store=store,
        tokens_per_step=tokens_per_step, max_row=max_row, devices=devices,
    )  # fmt: skip
    return list(scored_lines(engine, requests, progress or Shown()))


def scoring_engine(
    model: str | Path | LanguageModel,
    *,
    dtype: str,
    template: Mapping[str, Any] | None,
    control_tokens: ControlTokens,
    date: datetime.date | str | None,
    store: str | Path | Store | None,
    tokens_per_step: int,
    max_row: int,
    devices: Devices | None,
) -> ScoringEngine:
    """Returns the engine that `score` asks, with its arguments.

    Raises:
      UserError: for a setting or a model that cannot be used.
    """
    check_settings(ConfigDict({"dtype": dtype, "tokens_per_step": tokens_per_step, "max_row": max_row}))
    day, devices = _day(date), devices or Devices()
    if not isinstance(model, LanguageModel):
        model = open_model(str(model), dtype, devices.parameter_mesh)
    model = read_as(model, template=dict(template or {}), control_tokens=control_tokens, date=day)
    store = store if isinstance(store, Store) else Store(store or ":memory:")
    return ScoringEngine(model, devices, store, tokens_per_step, max_row)


def scored_lines(
    engine: ScoringEngine, requests: str | Path | Sequence[Mapping[str, Any]], progress: Reports
) -> Iterator[Scored]:
    """Yields what `score` returns, each as its last answer is done.

    Raises:
      UserError: as `score`. Faults of lines that take longer than `CHECKED_FIRST` to find are told while others are scored.
    """
    lines = RequestLines(requests)
    names: collections.deque[str | int] = collections.deque()

    def windows() -> Iterator[list[Request]]:
        for window in ahead(_windows(lines, engine.model)):
            names.extend(name for name, _ in window)
            yield [request for _, request in window]

    done = found = 0

    def one_found() -> None:
        nonlocal found
        found += 1

    with progress.stage("score", "lines") as advance, contextlib.closing(score_pairs(engine, windows(), one_found)) as results:
        for rows in results:
            done += 1
            advance(done - found, lines.count and lines.count - found)  # in all at most: lines found later take from it
            yield answers_of(names.popleft(), rows)
        advance(done - found, done - found)
    progress.say(_summary(done, engine.counts))


def _windows(lines: RequestLines, model: LanguageModel) -> Iterator[list[tuple[str | int, Request]]]:
    """Lines that are planned together. Where a window ends depends on the lines alone."""
    checking = lines.check(model)
    until = time.monotonic() + CHECKED_FIRST
    for faults in checking:
        if not faults and time.monotonic() > until:
            break
    most, window, pairs, tokens = FIRST_PAIRS, [], 0, 0
    for name, request in lines.requests(model):
        window.append((name, request))
        pairs += len(request.continuations)
        tokens += len(request.prefix) + sum(len(continuation.ids) for continuation in request.continuations)
        if pairs >= most or tokens >= MOST_TOKENS:
            yield window
            if any(itertools.islice(checking, CHECKED_AHEAD * len(window))):
                collections.deque(checking, maxlen=0)  # to the end, where all faults are told
            most, window, pairs, tokens = min(2 * most, MOST_PAIRS), [], 0, 0
    collections.deque(checking, maxlen=0)
    if window:
        yield window


def _day(date: datetime.date | str | None) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(date) if isinstance(date, str) else date
    except ValueError as error:
        raise UserError(f"date: {date!r} is no date: write it as 2026-01-31") from error


def answers_of(name: str | int, rows: Sequence[np.ndarray]) -> Scored:
    """Returns the answers of request `name`, whose log-probabilities are `rows`, an array an answer."""
    loglik = tuple(float(row.astype(np.float64).sum()) for row in rows)
    return Scored(name, loglik, tuple(map(len, rows)), tuple(rows))


def _summary(lines: int, counts: Counts) -> str:
    padding = counts.padding / max(1, counts.tokens + counts.padding)
    return (
        f"{lines} requests, {counts.store_hits + counts.store_misses} pairs, {counts.store_hits} of them from the store; "
        f"{counts.rows} rows in {counts.device_steps} device steps, padding {padding:.0%}"
    )
