"""How a judge likes a reply beside the golden one: min(1, exp(l(y') - l(y*))) (docs/metric.md, section 5, step 3).

l(y) is the mean log-probability, a token, with which the judge answers "100%" when it is asked, given the context, the core
features and y* as the 100% reference, what share of the features the candidate y matches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from remid_jax.dialogues.parsing import reply_text
from remid_jax.dialogues.prompts import Prompts
from remid_jax.learning.rewards import Reward
from remid_jax.learning.rollouts import Group
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import judge_ids, tokenizer_of

ANSWER = "100%"


def make(resources: Mapping[str, object]) -> Reward:
    """Resources: "judge", its scoring engine, and "prompts". A candidate is the reply in a completion's text."""
    judge, prompts = cast(ScoringEngine, resources["judge"]), cast(Prompts, resources["prompts"])
    tokenizer = tokenizer_of(judge.model)
    answer = [Continuation(tokenizer.encode(ANSWER))]

    def requests(group: Group) -> list[Request]:
        """First the golden reply as its own candidate, then every completion."""
        record = group.asked.record
        assert record is not None
        candidates = [record.golden, *map(reply_text, group.texts)]
        prefixes = [judge_ids(tokenizer, prompts, record, group.asked.features, candidate) for candidate in candidates]
        return [Request(prefix, answer, group.asked.name) for prefix in prefixes]

    def reward(groups: Sequence[Group]) -> np.ndarray:
        scores = judge.score([request for group in groups for request in requests(group)])
        means = np.array([np.mean(row, dtype=np.float64) for [row] in scores]).reshape(len(groups), -1)
        return np.exp(np.minimum(0.0, means[:, 1:] - means[:, :1]))

    return reward
