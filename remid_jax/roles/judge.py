"""The judge: a language model that is asked how well a reply matches the golden one (docs/metric.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import judge_ids, tokenizer_of

ANSWER = "100%"


class Candidate(NamedTuple):
    """A reply to a record, and the core features of a good one, where they are known."""

    record: Record
    features: str | None
    reply: str


def log_matches(judge: ScoringEngine, prompts: Prompts, candidates: Sequence[Candidate]) -> Float[np.ndarray, " candidates"]:
    """Returns how likely the judge is to call each candidate a full match: the mean log-probability of "100%", nats a token.

    It is asked, given the context, the core features and the golden reply as the 100% reference, what share of the features the
    candidate matches.
    """
    tokenizer = tokenizer_of(judge.model)
    answer = [Continuation(tokenizer.encode(ANSWER))]
    requests = [
        Request(judge_ids(tokenizer, prompts, of.record, of.features, of.reply), answer, of.record.id) for of in candidates
    ]
    return np.array([np.mean(row, dtype=np.float64) for [row] in judge.score(requests)])
