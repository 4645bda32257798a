"""Language models for `reasoned_world`: a small base that knows its language and no more, and how estimators are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

from remid_jax.dialogues.prompts import Prompts
from remid_jax.learning.objectives import Likelihood
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.trainer import Trainer
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import LanguageModel
from remid_jax.models.saving import save_model
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices, path_name
from remid_jax.roles.reasoner import reason
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, judge_ids, responder_ids, tokenizer_of
from remid_jax.synthetic.reasoned_world import BY_FEATURE, FEATURE, FEATURES, ID, LAWS, REPLIES, contexts, core_feature

PROMPTS = Path(__file__).parent / "world_prompts"
ELSEWHERE = ("north", "east", "south", "west")
START, END, UNKNOWN = "<|im_start|>", "<|im_end|>", "<unk>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} {{ message.content }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
TOKENS_PER_STEP, MAX_ROW, SAMPLING_ROWS, MAX_REASONING = 2048, 256, 48, 8


def untrained(prompts: Prompts, seed: int) -> LanguageModel:
    """A random decoder of two layers; a token is a word of the prompts, core features, replies and a judge's answers."""
    said = [*REPLIES, *ELSEWHERE, *map(core_feature, range(len(FEATURES))), "```", "0% 100%", "system user assistant"]
    for record in contexts():
        for messages, opening in (prompts.reasoner(record), prompts.responder(record, "-"), prompts.judge(record, "-", "yes")):
            said += [*(message["content"] for message in messages), opening]
    backend = Backend(models.WordLevel(unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.train_from_iterator(said, trainers.WordLevelTrainer(special_tokens=[START, END, UNKNOWN], show_progress=False))
    config = DecoderConfig("llama", backend.get_vocab_size(), 64, 2, 4, 4, 16, 128, 1e-5, Rope(), 256, tied_embeddings=False)
    words = Tokenizer.from_backend(backend, TEMPLATE, {"eos_token": END, "unk_token": UNKNOWN}, "reasoned world")
    params = nnx.split(Decoder(config, nnx.Rngs(seed)))[1]
    leaves = [(path_name(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    ends = (words.end_of_turn_id,)
    return LanguageModel("reasoned world", config, words, "float32", f"reasoned world {seed}", ends, lambda: iter(leaves))


def language(model: LanguageModel, prompts: Prompts, seed: int) -> Iterator[Request]:
    """Endless turns of reasoner, responder and judge, of worlds unrelated to `reasoned_world` but for its words and prompts.

    There, too, a context decides the feature and the feature how likely each reply is, by tables of their own; the user says
    from which of them they come. A base that never needed its prompts would have unlearnt to read them, one of a single world
    tells only so much of features apart as that world asks for, and adapters on either learn little. The judge says 100% of
    what is the reference word by word, 0% of other replies and of any words in a row, which would fool it otherwise.
    """
    rng, everyone, tokenizer = np.random.default_rng([seed, 0x6C616E67]), contexts(), tokenizer_of(model)
    feature = rng.integers(len(FEATURES), size=(len(ELSEWHERE), len(everyone)))
    by_feature = [rng.permuted(BY_FEATURE, axis=1) for _ in ELSEWHERE]

    def reply(world: int, z: np.integer) -> str:
        return REPLIES[rng.choice(len(REPLIES), p=by_feature[world][z])]

    while True:
        world, x, z = int(rng.integers(len(ELSEWHERE))), rng.integers(len(everyone)), rng.integers(len(FEATURES))
        features, (golden, other) = core_feature(z), rng.choice(REPLIES, 2)
        words = tokenizer.decode(rng.integers(model.config.vocab_size, size=rng.integers(1, 6)))
        candidate = rng.choice([golden, golden, other, words])
        user = f"{everyone[x].user_persona} {ELSEWHERE[world]}"
        record = dataclasses.replace(everyone[x], user_persona=user, golden=str(golden))
        for prefix, answer in (
            (chat_ids(tokenizer, *prompts.reasoner(record)), f"{core_feature(feature[world, x])} ```"),
            (responder_ids(tokenizer, prompts, record, features), reply(world, z)),
            (responder_ids(tokenizer, prompts, record, None), reply(world, feature[world, x])),
            (judge_ids(tokenizer, prompts, record, features, candidate), "100%" if candidate == golden else "0%"),
        ):
            yield Request(prefix, [Continuation(answer_ids(tokenizer, Reply(answer)))])


def write_base(folder: Path, prompts: Prompts, steps: int, batch: int, learning_rate: float, seed: int) -> None:
    """Saves a decoder that has learnt the `language`, for `open_model`."""
    model = untrained(prompts, seed)
    optimizer = adamw(learning_rate, steps, warmup=0.1, schedule="cosine", clip=1.0, weight_decay=0.0)
    trainer = Trainer(model, Likelihood(), optimizer, Devices(), TOKENS_PER_STEP, MAX_ROW, seed)
    state, turns = trainer.start(), language(model, prompts, seed)
    for _ in range(steps):
        state, _ = trainer.step(state, [next(turns) for _ in range(batch)], {})
    save_model(folder, model.config, state.trainable, model.tokenizer)


def reasoned(reasoner: LanguageModel, prompts: Prompts, store: Store) -> list[str]:
    """Core features of the reasoner's greedy reasoning in every context."""
    parsed = reason(
        contexts(),
        prompts,
        Generator(reasoner, Devices(), store, SAMPLING_ROWS),
        MAX_REASONING,
        "empty",
        lambda done, total: None,
    )
    return [parsed[record.id].text for record in contexts()]


def named(features: list[str]) -> float:
    """The probability under P of the contexts whose feature is named."""
    return float(LAWS[ID].ravel() @ [of == core_feature(z) for of, z in zip(features, FEATURE.ravel(), strict=True)])


def log_likelihoods(responder: LanguageModel, prompts: Prompts, features: list[str] | None, store: Store) -> np.ndarray:
    """log q(reply | context, its core features) [contexts, replies], nats, of replies that end; None: without features."""
    tokenizer = tokenizer_of(responder)
    answers = [Continuation(answer_ids(tokenizer, Reply(reply))) for reply in REPLIES]
    given: Sequence[str | None] = features or [None] * FEATURE.size
    prefixes = [responder_ids(tokenizer, prompts, record, of) for record, of in zip(contexts(), given, strict=True)]
    requests = [Request(prefix, answers) for prefix in prefixes]
    scores = ScoringEngine(responder, Devices(), store, TOKENS_PER_STEP, MAX_ROW).score(requests)
    return np.array([[row.sum(dtype=np.float64) for row in rows] for rows in scores])
