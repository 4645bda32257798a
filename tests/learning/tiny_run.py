"""A run of two phases on the tiny model, as a process that tests kill: `python tiny_run.py WORKDIR STEP`.

Two learners, "reasoner" (SFT, three steps) and "responder" (GRPO, three steps), as in CoRL. Prints a line at the beginning of
each step, and in STEP waits to be killed.
"""

import sys
import time
from pathlib import Path

import numpy as np
from tiny import tiny_model
from training import groups, moved_adapter

from remid_jax.checkpoints import Checkpoints
from remid_jax.identity import identify
from remid_jax.learning.feed import Feed
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.journal import Journal
from remid_jax.learning.loop import Phase, run
from remid_jax.learning.objectives import GroupRelative, Likelihood
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.rewards import Rewards
from remid_jax.learning.rollouts import Asked
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.supervised import Example, LikelihoodRecipe
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import adapted
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices

REQUESTS = groups(prompts=(12, 9, 17, 20, 5, 14))


def high_ids(groups):
    return np.array([[np.mean(sample.ids) for sample in group.samples] for group in groups])


def phases(devices: Devices, watch=lambda step: None) -> list[Phase]:
    learners = [adapted(tiny_model(), moved_adapter(seed=seed)) for seed in (1, 2)]
    optimizer = adamw(1e-2, 3, 0.4, "cosine", 1.0, 0.01)
    sft, grpo = (
        Trainer(learner, objective, optimizer, devices, 512, 64, seed)
        for learner, objective, seed in zip(learners, (Likelihood(), GroupRelative(PolicyLoss())), (1, 2), strict=True)
    )
    examples = [Example(str(n), r.prefix, r.continuations[0].ids) for n, r in enumerate(REQUESTS)]
    asked = [Asked(str(n), r.prefix) for n, r in enumerate(REQUESTS)]

    def watched(recipe):
        def lesson(learner, numbers, step):
            watch(step)
            return recipe(learner, numbers, step)

        return lesson

    def begin_grpo(models):
        rewards = Rewards({"high": (1.0, high_ids)})
        return watched(GroupRelativeRecipe(asked, rewards, 4, Sampler(5, (1,)), str, devices, 32, 0))

    return [
        Phase("sft", "reasoner", sft, Feed(6, 2, 0), 3, lambda models: watched(LikelihoodRecipe(examples))),
        Phase("grpo", "responder", grpo, Feed(6, 2, 1), 3, begin_grpo, iteration=1),
    ]


def train(folder: Path, devices: Devices, watch=lambda step: None, **changes):
    """The run, or what is left of it; returns the learners."""
    arguments = {"identity": identify({}, {"model": "tiny"}, {}), "save_every": 1, "show_every": 1} | changes
    return run(phases(devices, watch), Checkpoints(folder / "checkpoints"), lambda start: Journal(folder, start), **arguments)


if __name__ == "__main__":

    def announce(step: int) -> None:
        print(f"step {step}", flush=True)
        if step == int(sys.argv[2]):
            time.sleep(600)

    train(Path(sys.argv[1]), Devices(), announce)
