"""The numbers of a run that a sweep keeps, from the files that the run left in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.learning.groups import unrelated_groups
from remid_jax.reporting import dial_tables
from remid_jax.reporting.subjects import Results

CONTROLS = ("own", "empty", "shuffled", "teacher", "leaking")
FIXED_POLICIES = ("golden_other", "golden_half")  # which every evaluation measures beside the replies


def evaluation(results: Results) -> dict[str, object]:
    """Returns what a sweep keeps of an evaluation's results.

    {"headline": {"estimator", "unit", "scorer"}, "fingerprints",
     "r_emi": {category: number}, "r_emid": {category: number}, "r_emid_by_shift": {shift: number}    by the headline,
     "replies": {"tokens": mean, "truncated": share, "in_language": {category: share}},
     "scorers": {scorer: {"golden_information": {category: value}, "r_emi": {policy: {category: value}},     by club, token_rate
                          "golden_log_likelihood": mean over all golden replies, nats a token}},
     "dials": {setting: {quantity or control: number}}}    where there are dials, with bands in the place of intervals.
    """
    estimates, headline = results["estimates"], results["estimates"]["headline"]
    estimator, unit, scorer = (headline[key] for key in ("estimator", "unit", "scorer"))
    categories = estimates["categories"]

    def replies(key: str) -> dict[str, float]:
        return {name: category["replies"][key] for name, category in results["categories"].items()}

    return {
        "headline": {"estimator": estimator, "unit": unit, "scorer": scorer},
        "fingerprints": results["fingerprints"],
        "r_emi": {name: category[scorer]["emi"][estimator][unit] for name, category in categories.items()},
        "r_emid": headline["categories"],
        "r_emid_by_shift": headline["shifts"],
        "replies": {
            "tokens": float(np.mean([category["lengths"]["policy"]["tokens"]["value"] for category in categories.values()])),
            "truncated": sum(replies("truncated").values())
            / sum(category["records"] for category in results["categories"].values()),
            "in_language": replies("in_language"),
        },
        "scorers": {name: _of_scorer(results, name) for name in estimates["estimators"]},
    } | ({"dials": of_dials(results)} if dial_tables.curves(results) else {})


def of_dials(results: Results) -> dict[str, dict[str, object]]:
    """Returns {setting: {quantity or control: number}} of the curves of an evaluation, by the headline's scorer."""
    scorer = results["estimates"]["headline"]["scorer"]
    settings: dict[str, dict[str, object]] = {}
    for section in dial_tables.curves(results).values():
        curves = {name: curve for name, curve in section[scorer].items() if name != "controls"} | section[scorer]["controls"]
        for place, setting in enumerate(section["categories"]):
            settings[setting] = {name: dial_tables.banded(curve["points"][place]) for name, curve in curves.items()}
    return settings


def _of_scorer(results: Results, scorer: str) -> dict[str, object]:
    """What one scorer, "reasoned" or "plain", says of the golden replies and of every policy, by category."""

    def value(section: Mapping[str, Any]) -> float | None:
        return section["club"]["token_rate"]["value"]

    estimates = results["estimates"]
    sections = {name: category[scorer] for name, category in estimates["categories"].items()}
    golden = [row for rows in results["records"].values() for row in rows if row["golden_tokens"] is not None]
    rates = [row[f"golden_loglik_{scorer}"] / row["golden_tokens"] for row in golden]
    return {
        "golden_log_likelihood": float(np.mean(rates)) if rates else None,
        "golden_information": {name: value(section["golden"]) for name, section in sections.items()},
        "r_emi": {"policy": {name: value(section["emi"]) for name, section in sections.items()}}
        | {
            policy: {name: value(section) for name, section in estimates["controls"][scorer][policy].items()}
            for policy in FIXED_POLICIES
        },
    }


def comparison(results: Results) -> dict[str, object]:
    """Returns what a sweep keeps of a comparison's results: how runs stand over all shifted categories, by the headline.

    {"headline": {"estimator", "unit", "scorer"}, "best": {quantity: the run whose rank set is {1}, or None},
     "runs": {run: {quantity: {"value", "best_rank", "worst_rank", "minus_baseline": number, but of the baseline}}}}

    The interval of a number is the one that holds together with those of all differences of the comparison.
    """
    runs: dict[str, dict[str, dict[str, Any]]] = {run: {} for run in results["runs"]}
    for entry in results["standings"]:
        if entry["kind"] == "overall":
            for run, standing in entry["runs"].items():
                runs[run][entry["quantity"]] = {
                    "value": standing["value"],
                    "best_rank": standing["rank"][0],
                    "worst_rank": standing["rank"][1],
                }
    for row in results["differences"]:
        if row["kind"] == "overall" and row["simultaneous"] is not None:
            number, together = row["difference"], row["simultaneous"]
            if number["interval"] is not None and together["low"] is not None:
                ends = {name: together[name] for name in ("low", "high", "validated")}
                number = {**number, "interval": {**number["interval"], **ends}}
            runs[row["run"]][row["quantity"]]["minus_baseline"] = number
    return {"headline": results["headline"], "best": results["best"], "runs": runs}


def judgement(results: Results) -> dict[str, object]:
    """Returns what a sweep keeps of a judge's results: {"judge": who judges, "counts", "systems": {system: {criterion: mean
    rating}}, "itself": how far the judge agrees with itself}."""
    return {name: results[name] for name in ("judge", "counts", "systems", "itself")}


def construction(results: Results) -> dict[str, object]:
    """Returns what a sweep keeps of a build: {"fingerprint", "gates": {gate: {"looked_at", "rejected"}}, "categories":
    {category: {"made", "kept", "lineages", ...}}, "records": kept, "rejected"}."""
    counts = results["counts"]
    return {
        "fingerprint": results["fingerprint"],
        "gates": counts["gates"],
        "categories": counts["categories"],
        "records": sum(category["kept"] for category in counts["categories"].values()),
        "rejected": sum(gate["rejected"] for gate in counts["gates"].values()),
    }


def training(folder: Path) -> dict[str, object]:
    """Returns how long a policy was trained: {"steps", "training_hours"}."""
    steps = list(_lines([folder / "times.jsonl"]))
    return {"steps": len(steps), "training_hours": sum(row["seconds"] for row in steps) / 3600}


def estimator(folder: Path, config: Mapping[str, Any], benchmark: Benchmark) -> dict[str, object]:
    """Returns what a run of CoRL cost, and what its pairs are worth on golden replies that they have not seen.

    {"tokens": trained on, "rollouts", "training_hours", "reasons": whether the responder is trained on reasoning}, and where a
    pair has records that it has not seen, in nats a token:
    {"golden_log_likelihood": mean, as the responder was trained, "controls": {control: mean}, "reasoning_gain": under its own
     reasoning minus under none, None without reasoning, "copied": share of the reasoning that stands in the golden reply,
     "golden_log_likelihoods": of each record, see `by_lineage`}.
    """
    steps = list(_lines(folder.glob("*/times.jsonl")))
    rewarded = sum("reward" in row for row in _lines(folder.glob("*/metrics.jsonl")))
    reasons = "plain_responder" not in dict(config["schedule"])
    cost = {
        "tokens": round(sum(row["seconds"] * row["tokens_per_second"] for row in steps)),
        "rollouts": config["draws"] * config["prompts_per_step"] * rewarded,
        "training_hours": sum(row["seconds"] for row in steps) / 3600,
        "reasons": reasons,
    }
    rows = [row for fold in json.loads((folder / "controls.json").read_text()).values() for row in fold["records"]]
    return cost | unseen(rows, reasons, benchmark) if rows else cost


def unseen(rows: Iterable[Mapping[str, Any]], reasons: bool, benchmark: Benchmark) -> dict[str, object]:
    """Returns what `estimator` says of golden replies, from the rows of controls.json."""
    rows = list(rows)
    golden = {row["sample_ID"]: row["own" if reasons else "empty"] for row in rows}
    controls = {name: float(np.mean([row[name] for row in rows])) for name in CONTROLS}
    return {
        "golden_log_likelihood": float(np.mean(list(golden.values()))),
        "controls": controls,
        "reasoning_gain": controls["own"] - controls["empty"] if reasons else None,
        "copied": float(np.mean([row["copied"] for row in rows])),
        "golden_log_likelihoods": by_lineage(golden, benchmark),
    }


def by_lineage(values: Mapping[str, float], benchmark: Benchmark) -> dict[str, dict[str, object]]:
    """Returns values of records, nested by where the records belong; a lineage is all that clusters of any kind link.

    {"train": {lineage: {record: value}},
     "test": {shift, or a category without one: {category: {lineage: {record: value}}}}}
    """

    everyone = [*benchmark.train, *(record for records in benchmark.test.values() for record in records)]
    group = dict(zip((record.id for record in everyone), unrelated_groups(everyone), strict=True))

    def nested(records: Sequence[Record]) -> dict[str, dict[str, float]]:
        lineages: dict[str, dict[str, float]] = {}
        for record in records:
            if record.id in values:
                lineages.setdefault(group[record.id], {})[record.id] = values[record.id]
        return lineages

    test: dict[str, Any] = {}
    for category, records in benchmark.test.items():
        if lineages := nested(records):
            test.setdefault(benchmark.manifest.categories[category].shift or category, {})[category] = lineages
    return {"train": nested(benchmark.train), "test": test}


def _lines(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        if path.is_file():
            yield from map(json.loads, path.read_text().splitlines())
