"""The stages of an evaluation that need models: reason, respond, score, embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from remid_jax.dialogues.parsing import Parsed, core_features
from remid_jax.evaluation import contexts
from remid_jax.evaluation import questions as asking
from remid_jax.evaluation.records import everyone
from remid_jax.evaluation.run import Run
from remid_jax.information.score_table import SCORERS
from remid_jax.progress import shares
from remid_jax.roles import policy, reasoner
from remid_jax.roles.control_policies import reply_sets
from remid_jax.roles.reading import thinking_of
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.texts import Reply, ready, tokenizer_of

Written = dict[str, dict[str, Parsed]]
Samples = dict[str, list[Sample]]


def reason(run: Run) -> Written:
    """Returns {member of the estimator: {record that it may score: its reasoning}}."""
    c, records = run.config.estimator, everyone(run.records)
    to_score = {member.name: [records[number] for number in member.mine(records)] for member in run.members}
    if run.ready_reasoning is not None:
        parsed = {name: core_features(text, c.fallback) for name, text in run.ready_reasoning.items()}
        return {name: {record.id: parsed[record.id] for record in mine} for name, mine in to_score.items()}
    with run.stages.stage("reason") as advance:
        reasoners = zip(run.members, shares(advance, [len(mine) for mine in to_score.values()]), strict=True)
        return {
            member.name: reasoner.reason(
                to_score[member.name], run.prompts, run.engines.generator(member.reasoner), c.max_reasoning, c.fallback, share
            )
            for member, share in reasoners
        }


def respond(run: Run) -> tuple[dict[str, Reply], Samples | None]:
    """Returns replies, and samples of the policy's own kernel: None where it is not at hand, or none are wanted."""
    if run.ready_replies is not None:
        tokenizer = tokenizer_of(run.models.estimator)
        return {name: ready(tokenizer, text) for name, text in run.ready_replies.items()}, None
    c, thinking = run.config.policy, thinking_of(run.config.policy.thinking)
    if run.endpoint is not None:
        tokenizer = tokenizer_of(run.models.estimator)
        with run.stages.stage("respond", "replies") as advance:
            replies = policy.respond_through(
                everyone(run.records), run.prompts, run.endpoint, tokenizer, c.max_reply, advance, thinking == "tags"
            )
        return replies, None
    assert run.models.policy is not None
    wanted = c.self_samples if thinking == "no" else 0  # a thinking policy's samples are thoughts (docs/protocol.md, rule 12)
    generator, records = run.engines.generator(run.models.policy), everyone(run.records)
    with run.stages.stage("respond") as advance:
        replies, samples = policy.respond(
            records, run.prompts, generator, c.max_reply, c.repetition_penalty, wanted, run.config.seed, advance,
            thinking == "tags",
        )  # fmt: skip
    return replies, samples if wanted else None


def score(run: Run, written: Written, replies: dict[str, Reply], samples: Samples | None) -> dict[str, np.ndarray]:
    """Returns the arrays of the score table (layout: remid_jax.information.score_arrays)."""
    arrays = ask(run, written, {name: reply_sets(members, replies) for name, members in run.records.items()}, samples)
    with run.stages.stage("embed") as advance:
        engine, categories = run.engines.scoring(run.models.encoder), run.benchmark.manifest.categories
        arrays |= contexts.embed(engine, run.records, categories, run.config.embedding.pooling, advance)
    return arrays | contexts.identities(run.records)


def ask(
    run: Run, written: Written, sets: Mapping[str, Mapping[str, Sequence[Reply]]], samples: Samples | None
) -> dict[str, np.ndarray]:
    """Returns the arrays of the score table that the estimator and the policy make, of any sets of replies of each category."""
    tokenizer = tokenizer_of(run.models.estimator)
    scorers = ("reasoned",) if run.config.estimator.plain == "golden" else SCORERS
    estimators = [
        asking.Estimator(run.prompts, tokenizer, member, written[member.name], scorers, run.horizon) for member in run.members
    ]
    sampled = None
    if samples is not None and run.models.policy is not None:
        sampled = asking.Policy(run.prompts, tokenizer_of(run.models.policy), samples, run.horizon)
    arrays, of_members, of_policy = asking.questions(run.records, run.benchmark.manifest.categories, sets, estimators, sampled)
    asked = [(member.responder, questions) for member, questions in zip(run.members, of_members, strict=True)]
    if run.models.policy is run.members[0].responder:  # one plan, so that common beginnings of prompts are encoded once
        asked[0] = (asked[0][0], asked[0][1] + of_policy)
    elif of_policy and run.models.policy is not None:
        asked.append((run.models.policy, of_policy))
    with run.stages.stage("score") as advance:
        sizes = [sum(question.size for question in questions) for _, questions in asked]
        answers = [
            asking.ask(run.engines.scoring(model), questions, share)
            for (model, questions), share in zip(asked, shares(advance, sizes), strict=True)
        ]
        arrays |= asking.pooled(answers)
    return arrays | asking.golden_of_another(arrays, run.records)
