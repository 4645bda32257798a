"""How role-playing policies learn (docs/metric.md, section 7): from records' golden replies, or from replies of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.dialogues.parsing import core_features, thinking_text
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.loop import Recipe
from remid_jax.learning.rewards import Rewards
from remid_jax.learning.rollouts import Asked, Group, roll_out, table
from remid_jax.learning.supervised import Example, LikelihoodRecipe, PreferenceRecipe
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, heard, tokenizer_of


class Method(NamedTuple):
    """What a way of learning needs: golden replies, replies drawn before it begins, rewards."""

    golden: bool = False
    drawn: bool = False
    rewarded: bool = False


METHODS = {
    "sft": Method(golden=True),
    "dpo": Method(golden=True, drawn=True),
    "rft": Method(drawn=True, rewarded=True),
    "grpo": Method(rewarded=True),
}


class Data(NamedTuple):
    """Records, the policy's prompts for them and, for methods that learn from them, their golden replies; in one order."""

    records: Sequence[Record]
    asked: Sequence[Asked]
    examples: Sequence[Example] = ()


@dataclasses.dataclass(frozen=True)
class Start:
    """What a method starts from. `policy` is the learner before its first step and stays as it is; `draws` replies of up to
    `max_new` tokens are drawn to a prompt, `rows` at once; `tokens_per_step` and `max_row` as of `ScoringEngine`."""

    policy: LanguageModel
    data: Data
    devices: Devices
    store: Store
    draws: int
    max_new: int
    rows: int
    tokens_per_step: int
    max_row: int
    seed: int

    @property
    def sampler(self) -> Sampler:
        return Sampler(self.max_new, self.policy.end_ids)

    def read(self, ids: Sequence[int]) -> str:
        return heard(tokenizer_of(self.policy), ids)[0]

    def scoring(self, model: LanguageModel) -> ScoringEngine:
        return ScoringEngine(model, self.devices, self.store, self.tokens_per_step, self.max_row)

    def drawn(self, draws: int, report: Report) -> list[Group]:
        """Replies of the policy as it starts; kept in the store, so a run that goes on draws nothing again."""
        return roll_out(
            self.policy, self.devices, self.data.asked, draws, self.sampler, self.seed, 0, self.rows, self.read, self.store,
            report,
        )  # fmt: skip


def recipe_of(
    method: str, start: Start, rewards: Rewards | None, penalised: bool, report: Report = lambda done, total: None
) -> tuple[Recipe, int]:
    """How the method makes lessons, and from how many records. `rewards` where it needs them; GRPO that is `penalised` for
    its distance from the policy as it starts needs that policy's likelihoods. `report` tells of what is drawn before.

    Raises:
      UserError: as `best_of`.
    """
    if method == "sft":
        return LikelihoodRecipe(start.data.examples), len(start.data.examples)
    if method == "dpo":
        pairs = preferred(start.data.examples, start.drawn(1, report))
        return PreferenceRecipe(pairs, start.scoring(start.policy)), len(pairs)
    assert rewards is not None
    if method == "rft":
        best = best_of(start.drawn(start.draws, report), rewards)
        return LikelihoodRecipe(best), len(best)
    reference = start.scoring(start.policy) if penalised else None
    recipe = GroupRelativeRecipe(
        start.data.asked, rewards, start.draws, start.sampler, start.read, start.devices, start.rows, start.seed, reference
    )
    return recipe, len(start.data.asked)


def golden_examples(
    records: Sequence[Record], prompts: Prompts, tokenizer: Tokenizer, reasoning: Mapping[str, str] | None = None
) -> list[Example]:
    """The policy's prompt and the golden reply with its end, for every record; with `reasoning`, by record, a thinking policy's
    prompt, and the reasoning before the reply."""

    def answer(record: Record) -> str:
        return record.golden if reasoning is None else thinking_text(reasoning[record.id], record.golden)

    examples = []
    for record in records:
        prompt = chat_ids(tokenizer, prompts.policy(record, thinking=reasoning is not None))
        examples.append(Example(record.id, prompt, answer_ids(tokenizer, Reply(answer(record)), after=prompt)))
    return examples


def asked_of(
    records: Sequence[Record], prompts: Prompts, tokenizer: Tokenizer, thinking: bool, reasoning: Mapping[str, str] | None
) -> list[Asked]:
    """The policy's prompt for every record; a judge is told the core features of its `reasoning`, where there is one."""
    return [
        Asked(
            record.id,
            chat_ids(tokenizer, prompts.policy(record, thinking)),
            record,
            core_features(reasoning[record.id]).text if reasoning is not None else None,
        )
        for record in records
    ]


def preferred(examples: Sequence[Example], groups: Sequence[Group]) -> list[Example]:
    """Pairs for DPO: each example's answer against the first completion drawn for it."""
    return [
        dataclasses.replace(
            of, rejected=group.samples[0].ids, rollouts=[{"record": of.name, "text": group.texts[0], "rejected": True}]
        )
        for of, group in zip(examples, groups, strict=True)
    ]


def best_of(groups: Sequence[Group], rewards: Rewards) -> list[Example]:
    """Of every group the completion with the highest reward, of equal ones the first, as an answer to learn (RFT).

    A group without any reward that is a number is left out.

    Raises:
      UserError: if none is left.
    """
    apart, total = rewards(groups)
    told = np.isfinite(total)
    if not told.any():
        raise UserError(f"no reward of any drawn reply is a number: look at what {', '.join(apart)} make of them")
    best = np.where(told, total, -np.inf).argmax(1)
    rows = table(groups, apart, total, kept=(np.arange(total.shape[1]) == best[:, None]) & told)
    return [
        Example(group.asked.name, group.asked.ids, group.samples[best[n]].ids, rollouts=rows[n])
        for n, group in enumerate(groups)
        if told[n].any()
    ]
