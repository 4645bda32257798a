"""GRPO, as a recipe: roll out, reward, compare within the group (docs/metric.md, section 5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from remid_jax.errors import UserError
from remid_jax.learning.advantages import group_advantages
from remid_jax.learning.loop import Lesson
from remid_jax.learning.rewards import Rewards
from remid_jax.learning.rollouts import Asked, Group, Read, roll_out, table
from remid_jax.learning.trainer import Columns
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request


@dataclasses.dataclass(frozen=True)
class GroupRelativeRecipe:
    """`draws` completions of every prompt of a step, rewarded and compared with their siblings.

    `reference` scores completions where a penalty keeps the learner near it.
    """

    asked: Sequence[Asked]
    rewards: Rewards
    draws: int
    sampler: Sampler
    read: Read
    devices: Devices
    rows: int
    seed: int
    reference: ScoringEngine | None = None

    def __call__(self, learner: LanguageModel, numbers: Sequence[int], step: int) -> Lesson:
        """Raises UserError if no reward of the whole step is a number."""
        asked = [self.asked[n] for n in numbers]
        groups = roll_out(learner, self.devices, asked, self.draws, self.sampler, self.seed, step, self.rows, self.read)
        apart, total = self.rewards(groups)
        if not np.isfinite(total).any():
            raise UserError(
                f"step {step}: no reward is a number, on records {', '.join(of.name for of in asked)}: look at what "
                f"{', '.join(apart)} make of these completions"
            )
        advantages = group_advantages(total)
        values = advantages.values
        kept = [np.flatnonzero(row).tolist() for row in advantages.counted]
        taught = [(n, of) for n, of in enumerate(kept) if len(of)]  # a group without any reward has nothing to train on
        requests = [
            Request(groups[n].asked.ids, [Continuation(groups[n].samples[k].ids) for k in of], str(n)) for n, of in taught
        ]
        sampled = [[np.array(groups[n].samples[k].logprobs) for k in of] for n, of in taught]
        columns: Columns = {
            "advantages": [[float(values[n, k]) for k in of] for n, of in taught],
            "sampled": sampled,
            "reference": sampled if self.reference is None else self.reference.score(requests),
        }
        spread = [np.std(row[counted]) for row, counted in zip(total, advantages.counted, strict=True) if counted.any()]
        metrics = {"reward": _mean(total), "reward_std": float(np.mean(spread))}
        metrics |= {f"reward/{name}": _mean(values) for name, values in apart.items()}
        metrics |= {"flat_groups": float(advantages.flat.mean()), "excluded": float(1 - advantages.counted.mean())}
        metrics |= _lengths(groups)
        rows = [row for rows in table(groups, apart, total, advantage=values) for row in rows]
        return Lesson([of.name for of in asked], requests, columns, metrics, rows)


def _mean(rewards: np.ndarray) -> float:
    return float(np.nanmean(rewards)) if np.isfinite(rewards).any() else float("nan")


def _lengths(groups: Sequence[Group]) -> dict[str, float]:
    samples = [sample for group in groups for sample in group.samples]
    lengths = [len(sample.ids) for sample in samples]
    cut = [sample.finish == "length" for sample in samples]
    return {"tokens": float(np.mean(lengths)), "longest": float(max(lengths)), "truncated": float(np.mean(cut))}
