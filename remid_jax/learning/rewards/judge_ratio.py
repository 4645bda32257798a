"""How the judge likes a reply beside the golden one: min(1, exp(l(y') - l(y*))) (docs/metric.md, section 5, step 3).

l is `remid_jax.roles.judge.log_matches`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.dialogues.parsing import reply_text
from remid_jax.learning.rewards import Resources, Reward
from remid_jax.learning.rollouts import Group
from remid_jax.roles.judge import Candidate, log_matches


def make(resources: Resources) -> Reward:
    """Asks the judge. A candidate is the reply in a completion's text."""
    judge, prompts = resources.engine("judge", "judge_ratio"), resources.prompts

    def candidates(group: Group) -> list[Candidate]:
        """First the golden reply, then every completion."""
        record = group.asked.record
        assert record is not None
        return [Candidate(record, group.asked.features, text) for text in (record.golden, *map(reply_text, group.texts))]

    def reward(groups: Sequence[Group]) -> np.ndarray:
        matches = log_matches(judge, prompts, [candidate for group in groups for candidate in candidates(group)])
        matches = matches.reshape(len(groups), -1)
        return np.exp(np.minimum(0.0, matches[:, 1:] - matches[:, :1]))

    return reward
