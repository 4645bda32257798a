"""The arms of `experiments.ablation` on the benchmark: cross-fitted, measured on records that their pairs have not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record
from remid_jax.files import write_text
from remid_jax.information.paired import mean_difference

from . import cli, evaluate
from .arms import Ground, reasons

CONTROLS = ("own", "empty", "shuffled", "teacher", "leaking")
POLICIES = ("golden_other", "golden_half")  # fixed policies that every evaluation measures beside the model's replies


def ground(config: ConfigDict, folder: Path) -> Ground:
    def training(arm: str, seed: int) -> ConfigDict:
        return cli.changed(config.corl, {"schedule": config.arms[arm], "seed": seed})

    def part(arm: str, seed: int) -> ConfigDict:
        return ConfigDict({"corl": training(arm, seed), "evaluate": config.evaluate})

    def measured(corl: ConfigDict, of: Path) -> dict[str, Any]:
        """Evaluates the fixed policies by the estimator trained in `of`, in its `estimate`."""
        values = {"estimator.adapters": str(of / "estimator"), "policy.replies": str(fixed_replies(config.evaluate, folder))}
        (of / "estimate").mkdir(exist_ok=True)
        evaluate.main(cli.changed(config.evaluate, values), of / "estimate")
        return described(of, reasons(corl.schedule))

    return Ground("the benchmark", ("arms",), folder, tuple(config.arms), part, training, measured)


def fixed_replies(config: ConfigDict, folder: Path) -> Path:
    """Replies of the policy of an evaluation, said once, by which every arm's estimator is measured."""
    path = folder / "replies.jsonl"
    if not path.is_file():
        (folder / "policy").mkdir(parents=True, exist_ok=True)
        evaluate.main(cli.changed(config, {"estimator.adapters": None}), folder / "policy")
        said = pq.read_table(folder / "policy" / "samples.parquet", columns=["record", "reply"]).to_pylist()
        rows = [{"sample_ID": row["record"], "reply": row["reply"]} for row in said]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def described(folder: Path, reasons: bool) -> dict[str, Any]:
    """What one arm and seed is worth: mean log-likelihoods, nats a token, of golden replies that a pair has not seen, as the
    arm was trained and under every control; EMI of the fixed policies by category."""
    results = json.loads((folder / "estimate" / "results.json").read_text())["estimates"]
    controls = json.loads((folder / "controls.json").read_text())
    rows = [row for of_fold in controls.values() for row in of_fold["records"]]
    golden = {row["sample_ID"]: row["own" if reasons else "empty"] for row in rows}
    scorer = "reasoned" if reasons else "plain"

    def headline(of: Mapping[str, Any]) -> float | None:
        return of["club"]["token_rate"]["value"]

    scored = {name: of[scorer] for name, of in results["categories"].items()}
    return {
        "reasons": reasons,
        "golden_log_likelihood": float(np.mean(list(golden.values()))),
        "controls": {name: float(np.mean([row[name] for row in rows])) for name in CONTROLS},
        "copied": float(np.mean([row["copied"] for row in rows])),
        "golden_information": {name: headline(of["golden"]) for name, of in scored.items()},
        "r_emi": {"policy": {name: headline(of["emi"]) for name, of in scored.items()}}
        | {policy: {name: headline(of) for name, of in results["controls"][scorer][policy].items()} for policy in POLICIES},
        "golden_log_likelihoods": golden,
    }


def compared(
    arm: Mapping[str, Mapping[str, float]],
    reference: Mapping[str, Mapping[str, float]],
    records: Mapping[str, Record],
) -> dict[str, Any] | None:
    """By shift, the golden replies' log-likelihood of one arm minus another's, over the seeds that both have; None if there are
    none. Given are {seed: {record: value}}."""
    seeds = sorted(set(arm) & set(reference))
    if not seeds:
        return None
    names = [name for name in arm[seeds[0]] if name in records]
    shifts: dict[str, list[str]] = {}
    for category in sorted({records[name].category for name in names}, key=list(RPGBENCH.categories).index):
        shifts.setdefault(RPGBENCH.categories[category].shift or category, []).append(category)

    def means(of: Mapping[str, Mapping[str, float]], members: Sequence[str]) -> np.ndarray:
        return np.mean([[of[seed][name] for name in members] for seed in seeds], axis=0)

    found: dict[str, Any] = {"seeds": len(seeds)}
    for shift, categories in shifts.items():
        members = {category: [name for name in names if records[name].category == category] for category in categories}
        found[shift] = mean_difference(
            {category: means(arm, of) for category, of in members.items()},
            {category: means(reference, of) for category, of in members.items()},
            {category: np.array([records[name].lineage for name in of]) for category, of in members.items()},
        )
    return found
