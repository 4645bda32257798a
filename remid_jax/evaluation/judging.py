"""A judge of replies: its ratings and preferences, how far it agrees with itself, and what agrees with it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from remid_jax import program
from remid_jax.dialogues.judge_prompts import ContextTexts
from remid_jax.dialogues.rated import RatedReply
from remid_jax.dialogues.records import Record
from remid_jax.endpoints.chat import check_missing
from remid_jax.evaluation.replies_of_runs import Metrics
from remid_jax.files import write_rows, write_text
from remid_jax.information.agreement import RatedNumbers, agreement_estimates, mean_estimate
from remid_jax.information.intervals import Estimate
from remid_jax.information.self_agreement import self_agreement
from remid_jax.progress import Reports
from remid_jax.roles.ratings import Judge, Judged

SCHEMA_VERSION = 1
RESULTS, JUDGED = "judge.json", "judged.jsonl"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a judge said.

    Attributes:
      results: everything in the layout of judge.json:
        {"schema_version", "kind", "program", "judge": who judges, "settings", "criteria",
         "counts": {"replies", "contexts", "pairs", "answers": those wanted, "missing": {why an answer did not come: how many},
                    "unread": others that hold no rating or preference},
         "systems": {system: {criterion: mean rating}},
         "ratings": {system: {category: {criterion: mean rating}}},
         "wins": {criterion: {system: share of its comparisons, over orders}},
         "pairs": {criterion: {"a > b": how likely a is preferred}},
         "itself": see `information.self_agreement`,
         "values": {metric: {system: {category: estimate}}}, what is known of systems beside,
         "metrics": {criterion: {metric: {measure: estimate}}}}      over systems x categories, see `information.agreement`
      replies: those that were judged, with their ratings, the means over wordings, among their scores as "judge: CRITERION".
    """

    results: Mapping[str, Any] = dataclasses.field(repr=False)
    replies: Sequence[RatedReply] = dataclasses.field(repr=False)

    def save(self, workdir: str | Path) -> None:
        """Writes judge.json and judged.jsonl, which `read_rated` reads, to a folder.

        Raises:
          UserError: if they cannot be written; once they are, if answers of the judge are missing.
        """
        folder = Path(workdir)
        write_rows(folder / JUDGED, (of.to_json() for of in self.replies))
        write_text(folder / RESULTS, json.dumps(self.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        counts = self.results["counts"]
        check_missing(self.results["judge"]["source"], counts["missing"], counts["answers"])


def judge(
    judged: Sequence[RatedReply],
    metrics: Metrics,
    by: Judge,
    pairwise: bool,
    level: float,
    seed: int,
    progress: Reports,
) -> Judgement:
    """Asks a judge to rate every reply and, with `pairwise`, to compare every two replies to one context, in both orders.

    Args:
      judged: the replies.
      metrics: what else is known of systems in categories, to be held against the mean ratings there.
      by: the judge.
      pairwise: whether it compares replies, too.
      level, seed: of intervals.
      progress: where progress goes.

    Raises:
      UserError: a prompt is longer than the judge takes, or it gives no answer that can be read.
    """
    pairs = pairs_of(judged) if pairwise else np.zeros((0, 2), int)
    with progress.stage("rate", by.unit) as advance:
        ratings = by.rated([asked(of.record, of.reply) for of in judged], advance)
    compared = [asked(judged[a].record, judged[a].reply, judged[b].reply) for a, b in pairs.tolist()]
    preferences = np.zeros((0, len(by.prompts.criteria), 2))
    if compared:
        with progress.stage("compare", by.unit) as advance:
            preferences = by.preferred(compared, advance)
    criteria = list(by.prompts.criteria)
    means = _mean(ratings)
    lineage = np.array([of.record.lineage for of in judged])
    ratings_of_cells = _ratings(judged, means, criteria, lineage, level, seed)
    results = {
        "schema_version": SCHEMA_VERSION,
        "kind": "judge",
        "program": program.described(),
        "judge": by.described(),
        "settings": {"level": level, "seed": seed, "prompts": by.prompts.fingerprint},
        "criteria": dict(by.prompts.criteria),
        "counts": {
            "replies": len(judged),
            "contexts": len({of.record.id for of in judged}),
            "pairs": len(pairs),
            "answers": ratings.size + preferences.size,
            "missing": dict(by.missing),
            "unread": int(np.isnan(ratings).sum() + np.isnan(preferences).sum()) - sum(by.missing.values()),
        },
        "systems": _systems(judged, means, criteria, lineage, level, seed),
        "ratings": ratings_of_cells,
        **_comparisons(judged, preferences, pairs, criteria, lineage, level, seed),
        "itself": self_agreement(criteria, ratings, preferences, pairs, lineage, level, seed),
        "values": _values(metrics),
        "metrics": agreement_over_cells(ratings_of_cells, metrics, level, seed) if metrics else {},
    }
    scored = []
    for of, row in zip(judged, means.tolist(), strict=True):
        given = {f"judge: {name}": rating for name, rating in zip(criteria, row, strict=True) if not np.isnan(rating)}
        scored.append(dataclasses.replace(of, scores={**of.scores, **given}))
    return Judgement(results, scored)


def asked(record: Record, *replies: str) -> Judged:
    """Returns what a judge is asked about one or two replies to a record."""
    return Judged(record.id, ContextTexts.of(record), replies)


def pairs_of(judged: Sequence[RatedReply]) -> Int[np.ndarray, "pairs 2"]:
    """Returns the numbers of every two replies of unlike systems, and of unlike texts, to one context."""
    by_context: dict[str, list[int]] = {}
    for number, of in enumerate(judged):
        by_context.setdefault(of.record.id, []).append(number)
    found = [
        pair
        for numbers in by_context.values()
        for pair in itertools.combinations(numbers, 2)
        if judged[pair[0]].system != judged[pair[1]].system and judged[pair[0]].reply != judged[pair[1]].reply
    ]
    return np.array(found, int).reshape(-1, 2)


def _ratings(
    judged: Sequence[RatedReply],
    means: Float[np.ndarray, "n criteria"],
    criteria: Sequence[str],
    lineage: np.ndarray,
    level: float,
    seed: int,
) -> dict[str, Any]:
    cells = dict.fromkeys((of.system, of.record.category) for of in judged)
    result: dict[str, Any] = {}
    for system, category in cells:
        chosen = np.array([(of.system, of.record.category) == (system, category) for of in judged])
        result.setdefault(system, {})[category] = {
            name: mean_estimate(means[chosen, place], lineage[chosen], "score", level, seed)
            for place, name in enumerate(criteria)
        }
    return result


def _comparisons(
    judged: Sequence[RatedReply],
    preferences: Float[np.ndarray, "pairs criteria 2"],
    pairs: Int[np.ndarray, "pairs 2"],
    criteria: Sequence[str],
    lineage: np.ndarray,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """The sections "wins" and "pairs"; a pair is named in the order in which systems first stand."""
    order = {system: place for place, system in enumerate(dict.fromkeys(of.system for of in judged))}
    first, second = (np.array([judged[number].system for number in side]) for side in pairs.T)
    of_pair = lineage[pairs[:, 0]]
    wins: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for place, name in enumerate(criteria):
        chance = _mean(preferences[:, place])
        both = np.concatenate([chance, 1 - chance])
        whose, lineages = np.concatenate([first, second]), np.concatenate([of_pair, of_pair])
        wins[name] = {
            system: mean_estimate(both[whose == system], lineages[whose == system], "share", level, seed)
            for system in order
            if (whose == system).any()
        }
        named[name] = {}
        for a, b in itertools.combinations(order, 2):
            values = np.concatenate([chance[(first == a) & (second == b)], 1 - chance[(first == b) & (second == a)]])
            clusters = np.concatenate([of_pair[(first == a) & (second == b)], of_pair[(first == b) & (second == a)]])
            if len(values):
                named[name][f"{a} > {b}"] = mean_estimate(values, clusters, "share", level, seed)
    return {"wins": wins, "pairs": named}


def agreement_over_cells(
    ratings: Mapping[str, Mapping[str, Mapping[str, Estimate]]], metrics: Metrics, level: float, seed: int
) -> dict[str, Any]:
    """Returns how metrics agree with mean ratings, {system: {category: {criterion: estimate}}}, over systems x categories.

    These are the clusters of the intervals. {criterion: {metric: {measure: estimate}}}, see `information.agreement`.
    """
    cells = [(system, category) for system, of_system in ratings.items() for category in of_system]
    system, category = (np.array(names) for names in zip(*cells, strict=True))
    scores: dict[str, list[float]] = {}
    for of_system, of_category in cells:
        for name, number in ratings[of_system][of_category].items():
            scores.setdefault(name, []).append(_known(number))
    quantities = {name: np.array([_known(of.get(cell)) for cell in cells]) for name, of in metrics.items()}
    numbers = RatedNumbers(category, category, system, quantities, {name: np.array(of) for name, of in scores.items()})
    return agreement_estimates(numbers, level, seed)["agreement"]


def _systems(
    judged: Sequence[RatedReply],
    means: Float[np.ndarray, "n criteria"],
    criteria: Sequence[str],
    lineage: np.ndarray,
    level: float,
    seed: int,
) -> dict[str, Any]:
    system = np.array([of.system for of in judged])
    return {
        name: {
            criterion: mean_estimate(means[system == name, place], lineage[system == name], "score", level, seed)
            for place, criterion in enumerate(criteria)
        }
        for name in dict.fromkeys(system.tolist())
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, of what is there; NaN where nothing is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nansum(values, axis=-1) / (~np.isnan(values)).sum(axis=-1)


def _known(number: Estimate | None) -> float:
    return np.nan if number is None or number["value"] is None else number["value"]


def _values(metrics: Metrics) -> dict[str, Any]:
    result: dict[str, Any] = {name: {} for name in metrics}
    for name, of_cells in metrics.items():
        for (system, category), number in of_cells.items():
            result[name].setdefault(system, {})[category] = number
    return result
