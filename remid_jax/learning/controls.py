"""Whether it is the reasoning that helps: golden replies under it, under another's, none, the teacher's, and one that leaks.

All are the mean log-likelihood of the golden reply and its end, nats a token, under the responder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.learning.corl import CoRL, Models
from remid_jax.progress import Reports
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids, tokenizer_of

RUN = 4  # words in a row that count as copied


class Controls(TypedDict):
    """Of a pair, on records that it has not seen: `means` over the records of every control, nats a token; `copied`, the mean
    share of the reasoning's four-word runs that stand in the golden reply; `records`, the same by record."""

    means: dict[str, float]
    copied: float
    records: list[dict[str, str | float]]


def controls_of(corl: CoRL, learners: Models, records: Sequence[Record], name: str, progress: Reports) -> Controls:
    """Returns the controls of the pair `name` that `corl` has trained, on `records` that it has not seen."""
    s = corl.settings
    with progress.stage(f"reason {name}") as advance:
        features = corl.features(learners["reasoner"], records, advance)
    responder = corl.as_trained(learners["responder"])
    engine = ScoringEngine(responder, corl.devices, corl.store, s.tokens_per_step, s.max_row)
    with progress.stage(f"control {name}") as advance:
        given = control_features(records, features, corl.teacher_features, s.seed)
        likelihoods = golden_likelihoods(engine, corl.prompts, records, given, advance)
    means = {control: float(values.mean()) for control, values in likelihoods.items()}
    line = ", ".join(f"{control} {value:.3f}" for control, value in means.items())
    progress.say(f"  {name}, golden replies not seen, nats a token: {line}")
    leaked = [copied(features[record.id], record.golden) for record in records]
    return {
        "means": means,
        "copied": float(np.mean(leaked)),
        "records": [
            {
                "sample_ID": record.id,
                "features": features[record.id],
                "copied": leaked[n],
                **{control: float(values[n]) for control, values in likelihoods.items()},
            }
            for n, record in enumerate(records)
        ],
    }


def control_features(
    records: Sequence[Record], features: Mapping[str, str], teacher: Mapping[str, str], seed: int
) -> dict[str, list[str]]:
    """For every control the core features of each record, from {record: core features} of the reasoner and of the teacher.

    own: the reasoner's; empty: none; shuffled: the reasoner's on another record, each used once; teacher: the teacher's, who
    saw the golden reply: what better reasoning could give; leaking: the golden reply itself.
    """
    order = np.random.default_rng(seed).permutation(len(records))
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))  # one cycle: nobody keeps its own
    return {
        "own": [features[record.id] for record in records],
        "empty": ["" for _ in records],
        "shuffled": [features[records[other[n]].id] for n in range(len(records))],
        "teacher": [teacher[record.id] for record in records],
        "leaking": [record.golden for record in records],
    }


def golden_likelihoods(
    responder: ScoringEngine,
    prompts: Prompts,
    records: Sequence[Record],
    controls: Mapping[str, Sequence[str]],
    report: Report = lambda done, total: None,
) -> dict[str, np.ndarray]:
    """Mean log-likelihood of each record's golden reply, nats a token, [records], under every control."""
    tokenizer = tokenizer_of(responder.model)
    requests = [
        Request(
            responder_ids(tokenizer, prompts, record, features),
            [Continuation(answer_ids(tokenizer, Reply(record.golden)))],
            record.id,
        )
        for name in controls
        for record, features in zip(records, controls[name], strict=True)
    ]
    means = [row.mean(dtype=np.float64) for [row] in responder.score(requests, report)]
    return dict(zip(controls, np.array(means).reshape(len(controls), -1), strict=True))


def copied(text: str, source: str) -> float:
    """The share of the four-word runs of `text` that stand in `source`; 0 if it has fewer than four words."""
    runs, theirs = (
        {tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)} for words in (text.split(), source.split())
    )
    return len(runs & theirs) / len(runs) if runs else 0.0
