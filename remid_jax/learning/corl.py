"""CoRL: a reasoner and a responder trained in turn, each rewarded by the other as it stands (docs/metric.md, section 5).

The one file that knows that there are two language models. Both are LoRA adapters on one frozen base, which without an adapter
is the judge. A schedule names the phases:

    cold_reasoner     SFT: x -> the teacher's reasoning
    cold_responder    SFT: (x, the teacher's core features) -> y*
    reasoner_grpo     GRPO: x -> r, rewarded by the frozen responder's likelihood of y* given (x, r)
    responder_refit   SFT: (x, the frozen reasoner's r) -> y*
    responder_grpo    GRPO: (x, the frozen reasoner's r) -> y', rewarded by the judge
    plain_responder   SFT: x -> y*, no reasoning at all: the arm that CoRL is compared with
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import optax

from remid_jax.dialogues.parsing import MARKER, core_features
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.learning.feed import Feed
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.loop import Phase, Recipe
from remid_jax.learning.objectives import GroupRelative, Likelihood, Objective
from remid_jax.learning.rewards import Resources, Rewards, make_rewards
from remid_jax.learning.rollouts import Asked
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.supervised import Example, LikelihoodRecipe
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import adapted, adapter_of, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import LanguageModel, on_this_host
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.roles.reasoner import reason
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, responder_ids, tokenizer_of

Models = Mapping[str, LanguageModel]
LEARNERS = ("reasoner", "responder")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How CoRL is run. `draws` is G; lengths are in new tokens; `rewards` are a learner's weights by name, and the settings of
    those that have any; `optimizers` maps "sft" and "grpo" to what makes the optimizer of a phase from its number of steps."""

    schedule: Sequence[tuple[str, int]]
    lora: LoRAConfig
    optimizers: Mapping[str, Callable[[int], optax.GradientTransformation]]
    batch: int  # records of an SFT step
    prompts: int  # of a GRPO step
    draws: int
    max_reasoning: int
    max_reply: int
    rewards: Mapping[str, tuple[Mapping[str, float], Mapping[str, Mapping]]]
    loss: PolicyLoss
    tokens_per_step: int
    max_row: int
    sampling_rows: int
    seed: int

    def __post_init__(self) -> None:
        unknown = [kind for kind, _ in self.schedule if kind not in KINDS]
        if unknown or not self.schedule or any(steps < 1 for _, steps in self.schedule):
            raise UserError(
                f"config.schedule: {', '.join(unknown) or 'empty, or a phase without steps'}: give (phase, steps) pairs, of "
                f"phases {', '.join(KINDS)}"
            )


class CoRL:
    """The phases of one run over `records`, with `teacher` their reasoning for the cold start (id -> text)."""

    def __init__(
        self,
        base: LanguageModel,
        records: Sequence[Record],
        teacher: Mapping[str, str],
        prompts: Prompts,
        settings: Settings,
        devices: Devices,
        store: Store,
    ):
        self.base, self.records, self.teacher, self.prompts = base, list(records), teacher, prompts
        self.teacher_features = {name: core_features(text).text for name, text in teacher.items()}
        self.settings, self.devices, self.store = settings, devices, store
        self.tokenizer = tokenizer_of(base)
        # Reasoner and responder begin from unlike seeds, so that no fingerprint of one is ever the other's.
        self.learners = {
            name: adapted(base, fresh(base.config, settings.lora, settings.seed * len(LEARNERS) + n))
            for n, name in enumerate(LEARNERS)
        }
        for kind, _ in settings.schedule:
            learner, method, _ = KINDS[kind]
            if method == "grpo":
                self._rewards(learner, self.learners)  # what cannot be rewarded is refused before anything is trained

    def phases(self) -> list[Phase]:
        """The schedule's phases; a phase's iteration says how often its kind has come before, from 1; cold starts are 0."""
        found, seen = [], Counter[str]()
        for number, (kind, steps) in enumerate(self.settings.schedule):
            learner, method, begin = KINDS[kind]
            seen[kind] += not kind.startswith("cold")
            s = self.settings
            loss = dataclasses.replace(s.loss, max_tokens=s.max_reasoning if learner == "reasoner" else s.max_reply)
            objective: Objective = Likelihood() if method == "sft" else GroupRelative(loss)
            trainer = Trainer(
                self.learners[learner],
                objective,
                s.optimizers[method](steps),
                self.devices,
                s.tokens_per_step,
                s.max_row,
                s.seed,
            )
            size = s.batch if method == "sft" else s.prompts
            feed = Feed(len(self.records), size, s.seed * 1000 + number)
            anchored = method == "grpo" and s.loss.penalty_weight > 0
            found.append(Phase(kind, learner, trainer, feed, steps, self._beginning(begin), seen[kind], anchored))
        return found

    def _beginning(self, begin: Callable[[CoRL, Models], Recipe]) -> Callable[[Models], Recipe]:
        """A learner that has no phase in the schedule stays as it began."""
        return lambda models: begin(self, {**self.learners, **models})

    def cold_reasoner(self, models: Models) -> Recipe:
        examples = []
        for record in self.records:
            messages, opening = self.prompts.reasoner(record)
            answer = answer_ids(self.tokenizer, Reply(taught(self.teacher[record.id], opening)))
            examples.append(Example(record.id, chat_ids(self.tokenizer, messages, opening), answer))
        return LikelihoodRecipe(examples)

    def cold_responder(self, models: Models) -> Recipe:
        return self._replies(self.teacher_features)

    def plain_responder(self, models: Models) -> Recipe:
        return self._replies(dict.fromkeys((record.id for record in self.records), ""))

    def responder_refit(self, models: Models) -> Recipe:
        return self._replies(self.features(models["reasoner"], self.records))

    def reasoner_grpo(self, models: Models) -> Recipe:
        asked = []
        for record in self.records:
            messages, opening = self.prompts.reasoner(record)
            asked.append(Asked(record.id, chat_ids(self.tokenizer, messages, opening), record))
        opening = self.prompts.reasoner(self.records[0])[1]  # a template's: the same for all
        return self._relative("reasoner", models, asked, opening, self.settings.max_reasoning)

    def responder_grpo(self, models: Models) -> Recipe:
        features = self.features(models["reasoner"], self.records)
        asked = [
            Asked(record.id, responder_ids(self.tokenizer, self.prompts, record, of), record, of)
            for record, of in ((record, features[record.id]) for record in self.records)
        ]
        opening = self.prompts.responder(self.records[0], None)[1]
        return self._relative("responder", models, asked, opening, self.settings.max_reply)

    def features(
        self, reasoner: LanguageModel, records: Sequence[Record], report: Report = lambda done, total: None
    ) -> dict[str, str]:
        """Core features of a reasoner's greedy reasoning, by record; they are kept, so a resumed phase repeats them."""
        generator = Generator(self.as_trained(reasoner), self.devices, self.store, self.settings.sampling_rows)
        parsed = reason(records, self.prompts, generator, self.settings.max_reasoning, "empty", report)
        return {name: of.text for name, of in parsed.items()}

    def as_trained(self, learner: LanguageModel) -> LanguageModel:
        """A learner under a fingerprint of its matrices, for what is kept of it: a trainer's names no more than the step."""
        return adapted(self.base, adapter_of(on_this_host(learner)))

    def _replies(self, features: Mapping[str, str]) -> Recipe:
        """SFT of golden replies given core features."""
        return LikelihoodRecipe(
            [
                Example(
                    record.id,
                    responder_ids(self.tokenizer, self.prompts, record, features[record.id]),
                    answer_ids(self.tokenizer, Reply(record.golden)),
                )
                for record in self.records
            ]
        )

    def _relative(self, learner: str, models: Models, asked: Sequence[Asked], opening: str, longest: int) -> Recipe:
        """GRPO; what it may be penalised for is the distance from the learner as the phase began."""
        s = self.settings
        reference = self._engine(models[learner]) if s.loss.penalty_weight else None
        return GroupRelativeRecipe(
            asked, self._rewards(learner, models), s.draws, Sampler(longest, self.base.end_ids),
            lambda ids: opening + self.tokenizer.decode(ids), self.devices, s.sampling_rows, s.seed, reference,
        )  # fmt: skip

    def _rewards(self, learner: str, models: Models) -> Rewards:
        """The reasoner's come from the responder as it stands, the responder's from the base, the judge."""
        weights, settings = self.settings.rewards[learner]
        if learner == "reasoner":
            resources = Resources(self.prompts, self.records, responder=self._engine(models["responder"]))
        else:
            resources = Resources(self.prompts, self.records, judge=self._engine(self.base))
        return make_rewards(weights, resources, settings)

    def _engine(self, model: LanguageModel) -> ScoringEngine:
        return ScoringEngine(model, self.devices, Store(":memory:"), self.settings.tokens_per_step, self.settings.max_row)


KINDS: dict[str, tuple[str, str, Callable[[CoRL, Models], Recipe]]] = {
    "cold_reasoner": ("reasoner", "sft", CoRL.cold_reasoner),
    "cold_responder": ("responder", "sft", CoRL.cold_responder),
    "reasoner_grpo": ("reasoner", "grpo", CoRL.reasoner_grpo),
    "responder_refit": ("responder", "sft", CoRL.responder_refit),
    "responder_grpo": ("responder", "grpo", CoRL.responder_grpo),
    "plain_responder": ("responder", "sft", CoRL.plain_responder),
}
"""Phase -> whose it is, by which method, and what begins it."""


def taught(reasoning: str, opening: str) -> str:
    """What the reasoner is to write after the `opening` of its turn for the teacher's `reasoning`.

    Where the opening is already inside the block, a teacher who reasons at length before it gives its core features alone.
    """
    if reasoning.startswith(opening):
        return reasoning.removeprefix(opening)
    return f"{core_features(reasoning).text}\n```" if MARKER in opening else reasoning
