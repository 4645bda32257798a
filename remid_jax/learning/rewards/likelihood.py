"""exp of the mean log-likelihood, a token, of the golden reply under the frozen responder given the reasoning.

The formula is docs/metric.md, section 5 (Training the estimator), step 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.dialogues.parsing import Fallback, core_features
from remid_jax.learning.rewards import Resources, Reward
from remid_jax.learning.rollouts import Group
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, tokenizer_of


def make(resources: Resources, fallback: Fallback = "empty") -> Reward:
    """Asks the responder; `fallback` says what it is told where a completion has no block of core features."""
    responder, prompts = resources.engine("responder", "likelihood"), resources.prompts
    tokenizer = tokenizer_of(responder.model)

    def request(group: Group, text: str) -> Request:
        """The responder's prompt with these core features; what it shares with its siblings the engine encodes once."""
        record = group.asked.record
        assert record is not None
        prefix = responder_ids(tokenizer, prompts, record, core_features(text, fallback).text)
        return Request(prefix, [Continuation(answer_ids(tokenizer, Reply(record.golden)))], group.asked.name)

    def reward(groups: Sequence[Group]) -> np.ndarray:
        scores = iter(responder.score([request(group, text) for group in groups for text in group.texts]))
        return np.array([[np.exp(np.mean(next(scores)[0], dtype=np.float64)) for _ in group.texts] for group in groups])

    return reward
