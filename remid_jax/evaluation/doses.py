"""Golden replies degraded by known amounts, scored in one plan, and what every quantity says of each (docs/doses.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from remid_jax import program
from remid_jax.dialogues.records import Benchmark, has_golden
from remid_jax.errors import UserError
from remid_jax.evaluation import stages
from remid_jax.evaluation.arguments import GIVEN, Given
from remid_jax.evaluation.records import everyone, read_records
from remid_jax.evaluation.run import Run, begin
from remid_jax.information import dose_response
from remid_jax.information.exchanges import exchanged
from remid_jax.information.score_table import SCORERS, BySource, Category, Design, Replies, ScoreTable
from remid_jax.progress import Reports, Timed
from remid_jax.roles.degraded import LADDERS, MEANINGS, RUNGS, Rung, degraded_records, degraded_sets
from remid_jax.roles.reading import Reading
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply

SCHEMA_VERSION = 1
OTHER = "golden_other"
CLAIMED = [
    ("golden", "half_golden_parrot"),
    *(("half_golden_parrot", worse) for worse in ("parrot 100%", "reciter 100%", "constant", "misplaced 100%")),
]
"""(better, worse): the order that a measure of novel information has to find."""
SAME_CONTENT = ("misplaced 50%", "misplaced 75%", "misplaced 100%", "deleted 50%", "deleted 75%")
"""Rungs that say the same in every language in which a lineage has a golden reply."""


def doses(config: ConfigDict, store: Store, reading: Reading, progress: Reports) -> tuple[dict[str, Any], ScoreTable]:
    """Returns what doses.json holds, and the score table of golden replies and those of others.

    Its settings are those of an evaluation (`evaluation.settings`), of which those of the policy mean nothing. doses.json:

        {"schema_version", "kind", "program", "config", "records": {category: how many},
         "rungs": {rung: {"meaning", "share", "ladder", "dose", "changed": {category: share of records other than golden}}},
         "left_out": {rung: why},
         "values": {quantity: {category: {rung: number}}}, "order": {quantity: {category: [rungs, the best first]}},
         "ladders": {quantity: {ladder: {category: how}}}, "claims": {quantity: {"better > worse": {category: how}}},
         "power": {lineages: {quantity: {rung: ratio}}},         (layouts: `information.dose_response`)
         "languages": {quantity: {category: {rung: ratio}}} of categories in another language than their reference}

    Raises:
      UserError: as `evaluate`, and if a record has no golden reply.
    """
    timed, made_by = Timed(progress), program.described()
    run = opened(config, store, reading, timed)
    sets, left_out = sets_of(run)
    arrays = stages.ask(run, stages.reason(run), sets, None)
    rungs = [rung for rung in RUNGS if rung.said not in left_out]
    tables = {rung.name: table_of(arrays, run, rung) for rung in rungs}
    with jax.enable_x64(True):
        with timed.stage("values", "rungs") as advance:
            found = dose_response.values(tables, run.statistics, advance)
        with timed.stage("power", "rungs") as advance:
            power = dose_response.power(tables, run.statistics, config.seed, advance)
    ladders = {name: of for name, of in LADDERS.items() if all(rung in tables for rung in of)}
    claimed = [pair for pair in CLAIMED if all(rung in tables for rung in pair)]
    results = {
        "schema_version": SCHEMA_VERSION,
        "kind": "doses",
        "program": made_by,
        "config": json.loads(config.to_json()),
        "records": {name: len(members) for name, members in run.records.items()},
        "rungs": {rung.name: _described(rung, run, sets) for rung in rungs},
        "left_out": {rung.name: left_out[rung.said] for rung in RUNGS if rung.said in left_out},
        "values": found,
        "order": dose_response.order(found),
        "ladders": dose_response.on_ladders(found, ladders),
        "claims": dose_response.on_pairs(found, claimed),
        "power": power,
        "languages": _languages(found, run, [rung for rung in SAME_CONTENT if rung in tables]),
    }
    return results, tables["golden"]


def _languages(found: dose_response.Values, run: Run, rungs: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """What language does to the value of replies of the same content."""
    design = run.benchmark.manifest.categories
    pairs = {
        name: reference
        for name in run.records
        if (reference := design[name].reference) in run.records
        and None not in (languages := (design[name].language, design[reference].language))
        and len(set(languages)) == 2
    }
    golden = {name: "".join(record.golden for record in members) for name, members in run.records.items()}
    return dose_response.across_languages(
        found, pairs, rungs, {name: len(text.encode()) / len(text) for name, text in golden.items()}
    )


def opened(config: ConfigDict, store: Store, reading: Reading, timed: Timed) -> Run:
    """Returns the run of an evaluation of golden replies: all before the first device step."""
    benchmark = read_records(config, None)
    if lacking := [name for name, members in benchmark.test.items() if not has_golden(members)]:
        raise UserError(f"{config.benchmark.source}: {', '.join(lacking)}: no golden replies, of which all doses are made")
    golden = {record.id: record.golden for record in everyone(benchmark.test)}
    with_replies = config.copy_and_resolve_references()
    with_replies.policy.replies = GIVEN
    return begin(with_replies, store, reading, timed, Given(benchmark=benchmark, replies=golden))


def sets_of(run: Run) -> tuple[dict[str, dict[str, list[Reply]]], dict[str, str]]:
    """Returns the sets of replies that every category can have, and {set: why it is left out}."""
    made = {
        name: degraded_sets(members, in_another_language(run.benchmark, name), run.config.seed)
        for name, members in run.records.items()
    }
    left_out = {said: f"{name}: {reason}" for name, (_, absent) in made.items() for said, reason in absent.items()}
    return {
        name: {said: replies for said, replies in sets.items() if said not in left_out} for name, (sets, _) in made.items()
    }, left_out


def in_another_language(benchmark: Benchmark, category: str) -> dict[str, str]:
    """Returns {lineage: golden reply} of the first categories whose language is known to be another than this category's."""
    design = benchmark.manifest.categories
    own, found = design[category].language, dict[str, str]()
    for name, members in benchmark.test.items():
        theirs = design[name].language
        if own and theirs and own != theirs:
            found = {record.lineage: record.golden for record in members if record.golden} | found
    return found


def table_of(arrays: Mapping[str, np.ndarray], run: Run, rung: Rung) -> ScoreTable:
    """Returns the score table in which the rung is the policy."""
    scorers = tuple(scorer for scorer in SCORERS if any(f"/loglik/{scorer}/golden" in name for name in arrays))
    categories, design = {}, {}
    for name, members in run.records.items():
        golden, others, said = (_replies(arrays, name, of, scorers) for of in ("golden", OTHER, rung.said))
        policy = exchanged(golden, said, degraded_records(members, rung.share, run.config.seed))
        categories[name] = Category(
            arrays[f"{name}/record"],
            arrays[f"{name}/lineage"],
            {"golden": golden, "policy": policy, OTHER: others},
            fold=arrays.get(f"{name}/fold"),
            horizon=run.horizon,
            unreasoned=arrays.get(f"{name}/unreasoned/golden"),
            clusters={kind: arrays[f"{name}/cluster/{kind}"] for kind in members[0].clusters},
        )
        entry = run.benchmark.manifest.categories[name]
        design[name] = Design(entry.shift, entry.reference)
    return ScoreTable(scorers, categories, design)


def _replies(arrays: Mapping[str, np.ndarray], category: str, said: str, scorers: tuple[str, ...]) -> Replies:
    def of_scorers(array: str) -> dict[str, np.ndarray]:
        return {scorer: arrays[f"{category}/{array}/{scorer}/{said}"] for scorer in scorers}

    parts = BySource(
        arrays[f"{category}/tokens_by_source/{said}"], of_scorers("loglik_by_source"), of_scorers("marginal_by_source")
    )
    tokens, chars = arrays[f"{category}/tokens/{said}"], arrays[f"{category}/chars/{said}"]
    return Replies(tokens, chars, of_scorers("loglik"), of_scorers("marginal"), parts)


def _described(rung: Rung, run: Run, sets: Mapping[str, Mapping[str, list[Reply]]]) -> dict[str, Any]:
    """What a rung is; golden replies of others are not among the sets and count as changed."""
    changed = {}
    for name, members in run.records.items():
        told = degraded_records(members, rung.share, run.config.seed)
        if rung.said in sets[name]:
            told &= [said != golden for said, golden in zip(sets[name][rung.said], sets[name]["golden"], strict=True)]
        changed[name] = float(told.mean())
    return {"meaning": MEANINGS[rung.said], "share": rung.share, "ladder": rung.ladder, "dose": rung.dose, "changed": changed}
