"""Rollouts: what the learner says to each prompt, several times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from remid_jax.dialogues.records import Record
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
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
    rows: int, read: Read,
) -> list[Group]:  # fmt: skip
    """`draws` completions of every prompt at temperature 1, nothing filtered; each has its own key (seed, step, name, draw).

    `read` turns a completion's ids into the text that rewards look at.
    """
    prompts = [
        Prompt(of.ids, [Draw(1.0, key=record_key(seed, f"rollout {step}", of.name, n)) for n in range(draws)]) for of in asked
    ]
    generator = Generator(learner, devices, Store(":memory:"), rows)  # the learner changes every step: nothing to keep
    found = generator.generate(prompts, sampler)
    return [Group(of, drawn, [read(sample.ids) for sample in drawn]) for of, drawn in zip(asked, found, strict=True)]
