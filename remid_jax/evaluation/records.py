"""Which records an evaluation is about, and the texts that come with them: ready replies, ready reasoning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

from ml_collections import ConfigDict

from remid_jax.dialogues.dials.categories import placed
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark, read_reasoning, read_replies
from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.errors import Notice, UserError
from remid_jax.evaluation.dials import dialled, dialled_records, evaluated
from remid_jax.evaluation.models import Models
from remid_jax.roles.policy import too_long
from remid_jax.scoring.generation import record_key
from remid_jax.scoring.texts import tokenizer_of

Records = dict[str, list[Record]]
"""By category."""


def everyone(records: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Returns the records of all categories, in order; one that stands in several, as dials make it, once."""
    return list({record.id: record for members in records.values() for record in members}.values())


def read_records(config: ConfigDict, given: Benchmark | Sequence[Record | Mapping[str, object]] | None) -> Benchmark:
    """Returns the benchmark that was given, or the one that `config.benchmark` names.

    Raises:
      UserError: with every fault of it; with `golden_optional`, also where only some records of a category have a golden reply.
    """
    c = config.benchmark
    dials = parse_dials(c.dials)
    manifest: Manifest | str | None = c.manifest
    if isinstance(given, Benchmark):  # the other settings hold for it, too
        manifest = c.manifest or given.manifest
        given = [*given.train, *everyone(given.test)]
    benchmark = read_benchmark(
        c.source if given is None else given,
        manifest=manifest,
        categories=() if dials else tuple(c.categories),  # dials may use others than those that are evaluated
        format=c.format or "auto",
        mapping=c.mapping,
        character=c.character,
        every_reply=bool(c.every_reply),
        golden_optional=bool(c.golden_optional),
    )
    golden = {name: sum(bool(record.golden) for record in members) for name, members in benchmark.test.items()}
    if faults := [
        f"{count} of the {len(benchmark.test[name])} records of category {name!r} have a golden reply"
        for name, count in golden.items()
        if 0 < count < len(benchmark.test[name])
    ]:
        raise UserError(
            f"{c.source if given is None else 'records'}: {'; '.join(faults)}: give one to all records of a category or to none"
        )
    return dialled(benchmark, dials, tuple(c.categories), config.seed) if dials else benchmark


def choose_records(
    config: ConfigDict, benchmark: Benchmark, prompts: Prompts, models: Models, thinking: bool
) -> tuple[Records, dict[str, dict[str, int]]]:
    """Returns the records to evaluate, and {category: {record: tokens}} of those left out because a prompt is too long.

    Raises:
      UserError: if a category has fewer than two left.
    """
    estimator = tokenizer_of(models.estimator)
    policy = tokenizer_of(models.policy or models.estimator)
    chosen: Records = {}
    excluded: dict[str, dict[str, int]] = {}

    def tokens_of_long(members: Sequence[Record]) -> dict[str, int]:
        return too_long(members, prompts, estimator, policy, config.max_prompt, thinking)

    def take(category: str, members: Sequence[Record], left_out: dict[str, int]) -> None:
        excluded[category] = left_out
        chosen[category] = [record for record in members if record.id not in left_out]
        if len(chosen[category]) < 2:
            raise UserError(
                f"{config.benchmark.source}: category {category} has {len(chosen[category])} records of at most "
                f"config.max_prompt={config.max_prompt} tokens: it needs 2; raise config.max_prompt or shorten its records"
            )

    dials = placed(parse_dials(config.benchmark.dials), benchmark)
    for category, members in evaluated(benchmark, dials, tuple(config.benchmark.categories)).items():
        wanted = config.benchmark.records
        if 0 < wanted < len(members):
            members = sorted(members, key=lambda record: record_key(config.seed, "subset", record.id))[:wanted]
        take(category, members, tokens_of_long(members))
    for dial in dials:
        members, left_out = dialled_records(dial, benchmark, chosen[dial.base], config.seed, tokens_of_long)
        take(str(dial.dial), members, left_out)
    if not chosen:
        raise UserError(f"{config.benchmark.source}: holds no test record")
    return chosen, excluded


def ready_texts(
    kind: Literal["reply", "reasoning"],
    path: str | None,
    given: Mapping[str, str] | None,
    records: Records,
    benchmark: Benchmark,
) -> dict[str, str] | None:
    """Returns ready replies or reasoning by record, from a file or as they were given; None where they are to be generated.

    A file may answer the benchmark's records alone; what is given of others is left out with a notice.

    Raises:
      UserError: with every fault of them.
    """
    chosen = everyone(records)
    if given is None:
        read = read_replies if kind == "reply" else read_reasoning
        return read(path, chosen, everyone(benchmark.test)) if path else None
    if missing := [record.id for record in chosen if record.id not in given]:
        raise UserError(f"no {kind} for records {', '.join(map(repr, missing))}: give one for each")
    known = {record.id for record in (*chosen, *everyone(benchmark.test))}
    if strange := [name for name in given if name not in known]:
        told = f"{kind} given for {len(strange)} id(s) that are no records of the benchmark, first {strange[0]!r}: not used"
        warnings.warn(told, Notice, stacklevel=2)
    if wrong := [record.id for record in chosen if not isinstance(given[record.id], str)]:
        raise UserError(f"the {kind} of records {', '.join(map(repr, wrong))} is no text")
    return {record.id: given[record.id] for record in chosen}
