"""Is the golden reply a reply to its own context?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.construction.gates.fields import are_related
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, tokenizer_of

OTHERS = 8
"""Contexts, at most, in which a reply is asked beside its own: the mean over eight has a third of one context's noise, and no
prompt is added, since each context is read once for all replies."""
LEAST_GAIN = 0.0
"""Nats a token by which a reply must be likelier in its own context: any less, and it tells of its context nothing or less."""


class Likelihood:
    """Rejects a record whose golden reply is no likelier in its own context than it is, in the mean, in others'.

    Contexts are those of the responder without reasoning, replies end with the end of the turn. Others are of the same category
    and unrelated; a record without any is let pass.
    """

    name = "likelihood"

    def __init__(self, engine: ScoringEngine, prompts: Prompts):
        self._engine, self._prompts = engine, prompts

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        others = [unrelated_contexts(records, index) for index in range(len(records))]
        asked: list[list[int]] = [[index] for index in range(len(records))]  # of each context the replies asked in it
        for index, contexts in enumerate(others):
            for context in contexts:
                asked[context].append(index)
        tokenizer = tokenizer_of(self._engine.model)
        replies = [Continuation(answer_ids(tokenizer, Reply(record.golden))) for record in records]
        requests = [
            Request(
                responder_ids(tokenizer, self._prompts, record, None),
                [replies[reply] for reply in asked[context]],
                record.category,
            )
            for context, record in enumerate(records)
        ]

        def advance(done: int, total: int) -> None:
            report(len(records) * done // max(total, 1), len(records))

        scores = self._engine.score(requests, advance)
        rates = {
            (reply, context): float(np.mean(logprobs, dtype=np.float64))
            for context, numbers in enumerate(scores)
            for reply, logprobs in zip(asked[context], numbers, strict=True)
        }
        faults = {}
        for index, contexts in enumerate(others):
            if contexts:
                gain = rates[index, index] - sum(rates[index, context] for context in contexts) / len(contexts)
                if gain <= LEAST_GAIN:
                    faults[index] = f"no likelier in its own context: {gain:+.3f} nats a token against {len(contexts)} others"
        return faults


def unrelated_contexts(records: Sequence[Record], index: int) -> list[int]:
    """Returns up to `OTHERS` unrelated records of a record's category: those behind it, from the beginning again at the end."""
    record, count = records[index], len(records)
    chosen: list[int] = []
    for step in range(1, count):
        other = (index + step) % count
        if records[other].category == record.category and not are_related(records[other], record):
            chosen.append(other)
            if len(chosen) == OTHERS:
                break
    return chosen
