"""Rollouts: what the learner says to each prompt, several times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from remid_jax.dialogues.records import Record
from remid_jax.learning.journal import Row
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Report
from remid_jax.scoring.generation import Draw, Generator, Prompt, Sample, record_key
from remid_jax.scoring.store import Store

Read = Callable[[Sequence[int]], str]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A prompt to learn from; `record` is whom it is about, where it is about one, `features` are the core features of its
    reply, where a reasoning gave some."""

    name: str
    ids: Sequence[int]
    record: Record | None = None
    features: str | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """The completions of one prompt, and their texts as rewards read them."""

    asked: Asked
    samples: Sequence[Sample]
    texts: Sequence[str]


def roll_out(
    learner: LanguageModel, devices: Devices, asked: Sequence[Asked], draws: int, sampler: Sampler, seed: int, step: int,
    rows: int, read: Read, store: Store | None = None, report: Report = lambda done, total: None,
) -> list[Group]:  # fmt: skip
    """`draws` completions of every prompt at temperature 1, nothing filtered; each has its own key (seed, step, name, draw).

    `read` turns a completion's ids into the text that rewards look at. A `store` keeps the draws of a learner that stays as it
    is; one that changes every step has nothing to keep.
    """
    prompts = [
        Prompt(of.ids, [Draw(1.0, key=record_key(seed, f"rollout {step}", of.name, n)) for n in range(draws)]) for of in asked
    ]
    rows = min(rows, len(asked) * draws)  # a batch is filled up to its rows: no more of them than there is to say
    generator = Generator(learner, devices, store or Store(":memory:"), rows)
    found = generator.generate(prompts, sampler, report)
    return [Group(of, drawn, [read(sample.ids) for sample in drawn]) for of, drawn in zip(asked, found, strict=True)]


def table(
    groups: Sequence[Group], apart: Mapping[str, np.ndarray], total: Float[np.ndarray, "P G"], **beside: np.ndarray
) -> list[list[Row]]:
    """Rows to read, by group, one a completion: the record, what was said, its rewards, and what stands `beside` them."""

    def row(n: int, k: int, text: str) -> Row:
        found: dict[str, str | float | None] = {"record": groups[n].asked.name, "text": text, "reward": _number(total[n, k])}
        found |= {name: values[n, k].item() for name, values in beside.items()}
        return found | {f"reward/{name}": _number(values[n, k]) for name, values in apart.items()}

    return [[row(n, k, text) for k, text in enumerate(group.texts)] for n, group in enumerate(groups)]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
