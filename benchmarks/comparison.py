"""What the comparisons share: rounds of timings taken in turn, and the same model in transformers on torch."""

from __future__ import annotations

import datetime
import functools
import gc
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import torch
import transformers
from absl import logging

from experiments.huge_pages import start_with_huge_pages
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.models.loading import LanguageModel
from remid_jax.models.saving import save_model
from remid_jax.scoring.texts import chat_ids, tokenizer_of

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Measured(NamedTuple):
    """One way's wall and CPU seconds in every round, the most memory it took in one (MiB above where it began), and its last
    result."""

    wall: list[float]
    cpu: list[float]
    memory: float
    result: Any

    def line(self, name: str, tokens: int) -> str:
        wall, cpu = statistics.median(self.wall), statistics.median(self.cpu)
        return f"{name:20} {wall:6.1f} s, {cpu:6.1f} s of CPU {tokens / wall:6.0f} tokens/s {self.memory:5.0f} MiB"


def prepare(description: str) -> None:
    """Both sides get the CPU, all of its cores, and huge pages; says what else the machine was doing at the start."""
    start_with_huge_pages()
    jax.config.update("jax_platforms", "cpu")
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    logging.set_verbosity(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    versions = f"jax {jax.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{description}\n{datetime.date.today()}, {cores} cores, load average {os.getloadavg()[0]:.1f}, {versions}")
    jax_rate, torch_rate = product_rates("float32")
    print(f"float32 matrix products, GFLOP a second: jax {jax_rate:.0f}, torch {torch_rate:.0f}")


def in_turn(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Measured]:
    """Runs every way twice a round and times the second run, so that whatever else slows the machine slows all of them.

    A virtual machine takes back what lies idle: a way's first run after ten seconds of another's waits half a second for its
    memory. The first run is where memory is measured.
    """
    found = {name: Measured([], [], 0.0, None) for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            CLEAR.write_text("5")  # the peak starts anew at what is in use now
            before = resident("VmRSS")
            way()
            memory = max(found[name].memory, resident("VmHWM") - before)
            wall, cpu = time.perf_counter(), time.process_time()
            result = way()
            found[name].wall.append(time.perf_counter() - wall)
            found[name].cpu.append(time.process_time() - cpu)
            found[name] = found[name]._replace(memory=memory, result=result)
    return found


def ratio(slow: Measured, fast: Measured) -> str:
    """Medians over the rounds of the quotients of wall times, with their range, and of CPU times."""
    wall, cpu = ([a / b for a, b in zip(*pair, strict=True)] for pair in ((slow.wall, fast.wall), (slow.cpu, fast.cpu)))
    return f"{statistics.median(wall):.2f} ({min(wall):.2f} .. {max(wall):.2f}), of CPU time {statistics.median(cpu):.2f}"


def transformers_twin(model: LanguageModel, dtype: torch.dtype = torch.float32) -> transformers.PreTrainedModel:
    """The same weights in transformers on torch with its fused attention."""
    with tempfile.TemporaryDirectory() as directory:
        save_model(directory, model.config, model.params, None)
        return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="sdpa").eval()


def nearest_prompts(model: LanguageModel, length: int, count: int) -> list[list[int]]:
    """The `count` policy prompts of the compact benchmark whose number of tokens is nearest to `length`."""
    tokenizer, prompts = tokenizer_of(model), Prompts.load()
    records = [record for members in read_benchmark("package:rpgbench_compact").test.values() for record in members]
    asked = [chat_ids(tokenizer, prompts.policy(record)) for record in records]
    return sorted(asked, key=lambda ids: abs(len(ids) - length))[:count]


def product_rates(dtype: str, rows: int = 2048, inner: int = 576, columns: int = 1536) -> tuple[float, float]:
    """GFLOP a second of wall-clock time, jax and torch: what the libraries below reach, whatever is built on them."""
    x, y = torch.randn(rows, inner, dtype=getattr(torch, dtype)), torch.randn(inner, columns, dtype=getattr(torch, dtype))
    a, b = (jnp.asarray(of.float().numpy(), dtype) for of in (x, y))
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    rates = []
    for multiply in (lambda: product(a, b).block_until_ready(), lambda: x @ y):
        seconds = []
        for _ in range(8):
            begin = time.perf_counter()
            multiply()
            seconds.append(time.perf_counter() - begin)
        rates.append(2 * rows * inner * columns / min(seconds) / 1e9)
    return rates[0], rates[1]


def resident(field: str) -> float:
    return int(re.search(rf"^{field}:\s+(\d+)", STATUS.read_text(), re.MULTILINE)[1]) / 1024
