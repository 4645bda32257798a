"""What a reply tells of its context, nats a token: (log q(y'|x) - log((1/m) sum_j q(y'|x_j))) / tokens of y'.

q is a frozen estimator without reasoning, x_j are m contexts of other lineages than x. The mean of the numerator over records
is the `leave_one_out` information of docs/metric.md, section 3 (Estimators), with m contexts for the marginal. MI-GRPO rewards
it (docs/metric.md, section 7 (Policies)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from remid_jax.dialogues.parsing import reply_text
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.learning.rewards import Resources, Reward
from remid_jax.learning.rollouts import Group
from remid_jax.scoring.generation import record_key
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, tokenizer_of


def make(resources: Resources, others: int = 4, seed: int = 0) -> Reward:
    """Asks the responder. Each record's m = `others` other contexts are drawn among the run's records, the same ones whenever
    it is asked about.

    A reply that ended is scored with its end token, one that was cut off without; a cut reply without any text is NaN.

    Raises:
      UserError: if a record has fewer than `others` records of other lineages beside it.
    """
    responder, prompts = resources.engine("responder", "pointwise_information"), resources.prompts
    records = resources.records
    tokenizer = tokenizer_of(responder.model)
    most = _fewest_strangers(records)
    if not 1 <= others <= most:
        raise UserError(
            f"config.reward_settings.pointwise_information.others={others}: some record has only {most} records of other "
            "lineages beside it: choose at least 1 and at most as many"
        )

    def requests(group: Group) -> list[Request]:
        """Its own context first; after each context all completions."""
        record = group.asked.record
        assert record is not None
        replies = [
            Reply(reply_text(text), sample.finish != "length") for text, sample in zip(group.texts, group.samples, strict=True)
        ]
        answers = [Continuation(answer_ids(tokenizer, reply) or (tokenizer.end_of_turn_id,)) for reply in replies]
        contexts = [record, *other_contexts(record, records, others, seed)]
        prefixes = [responder_ids(tokenizer, prompts, context, None) for context in contexts]
        return [Request(prefix, answers, group.asked.name) for prefix in prefixes]

    def of(group: Group, scores: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        logliks = np.array([[row.sum(dtype=np.float64) for row in rows] for rows in scores])  # [1 + m, G]
        tokens = np.array([len(row) for row in scores[0]])
        information = (logliks[0] - logsumexp(logliks[1:], axis=0) + np.log(others)) / tokens
        empty = [not reply_text(text) and s.finish == "length" for text, s in zip(group.texts, group.samples, strict=True)]
        return np.where(empty, np.nan, information)

    def reward(groups: Sequence[Group]) -> np.ndarray:
        scores = responder.score([request for group in groups for request in requests(group)])
        return np.array([of(group, scores[n * (1 + others) : (n + 1) * (1 + others)]) for n, group in enumerate(groups)])

    return reward


def other_contexts(record: Record, records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """`count` records of other lineages, the same for the same record, records and seed."""
    strangers = [of for of in records if not of.origins & record.origins]
    drawn = np.random.default_rng(record_key(seed, "other contexts", record.id)).choice(len(strangers), count, replace=False)
    return [strangers[n] for n in drawn]


def _fewest_strangers(records: Sequence[Record]) -> int:
    """Of all records, how many others the one has that has fewest unrelated to it."""
    of_origin: dict[str, set[int]] = {}
    for number, record in enumerate(records):
        for origin in record.origins:
            of_origin.setdefault(origin, set()).add(number)
    related = (len(set().union(*(of_origin[origin] for origin in record.origins))) for record in records)
    return len(records) - max(related, default=0)
