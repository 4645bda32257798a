"""What the comparisons share: rounds of timings taken in turn, and the same model in transformers on torch."""

from __future__ import annotations

import datetime
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
import torch
import transformers

from remid_jax.models.loading import LanguageModel
from remid_jax.models.saving import save_model

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Measured(NamedTuple):
    """One way's seconds in every round, the most memory it took in one (MiB above where it began) and its last result."""

    seconds: list[float]
    memory: float
    result: Any

    def line(self, name: str, tokens: int) -> str:
        median = statistics.median(self.seconds)
        return f"{name:22} {median:7.2f} s {tokens / median:7.0f} tokens/s {self.memory:7.0f} MiB"


def prepare(description: str) -> None:
    """Both sides get the CPU and all of its cores; says what else the machine was doing at the start."""
    jax.config.update("jax_platforms", "cpu")
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    transformers.logging.set_verbosity_error()
    versions = f"jax {jax.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{description}\n{datetime.date.today()}, {cores} cores, load average {os.getloadavg()[0]:.1f}, {versions}")


def in_turn(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Measured]:
    """Runs every way once a round, so that whatever else slows the machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            CLEAR.write_text("5")  # the peak starts anew at what is in use now
            before, begin = _resident("VmRSS"), time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - begin)
            memory[name].append(_resident("VmHWM") - before)
    return {name: Measured(seconds[name], max(memory[name]), results[name]) for name in ways}


def ratio(slow: list[float], fast: list[float]) -> str:
    """Median over the rounds of the quotient of two times, and its range."""
    quotients = [a / b for a, b in zip(slow, fast, strict=True)]
    return f"{statistics.median(quotients):.2f} ({min(quotients):.2f} .. {max(quotients):.2f})"


def transformers_twin(model: LanguageModel) -> transformers.PreTrainedModel:
    """The same weights, float32, in transformers on torch with its fused attention."""
    with tempfile.TemporaryDirectory() as directory:
        save_model(directory, model.config, model.params, None)
        return transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()


def _resident(field: str) -> float:
    return int(re.search(rf"^{field}:\s+(\d+)", STATUS.read_text(), re.MULTILINE)[1]) / 1024
