"""Trains every policy, measures each with one estimator, and sets them side by side.

    python -m experiments.policies --config=configs/policies.py

A policy is a folder of the workdir; what is finished there is not done again. The table, with policies that have not been run
marked so, is written anew after each: `config.output` (every number) and `config.page` (to read).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from experiments import cli, evaluate, train
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.reporting import policies, terminal

SCHEMA_VERSION = 1
NOT_RUN = "not run"
BASE = "base"  # the model as it is


def main(config: ConfigDict, workdir: Path) -> None:
    check(config)
    console = Console(stderr=True)
    for name in config.policies:
        if not (workdir / name / "policy.json").is_file():
            console.print(f"policy {name}", highlight=False)
            run_policy(config, name, workdir)
        found = gathered(config, workdir)
        write_text(Path(config.output), json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        write_text(Path(config.page), policies.page(found))
    Console(width=max(100, Console().width) if not Console().is_terminal else None).print(terminal.drawn(policies.table(found)))
    console.print(f"policies: {config.page}   data: {config.output}", highlight=False, soft_wrap=True)


def check(config: ConfigDict) -> None:
    """Raises UserError for a policy without settings, or one that begins from a policy that comes after it."""
    if not config.policies:
        raise UserError(f"config.policies names none: choose some of {BASE}, {', '.join(config.train)}")
    for n, name in enumerate(config.policies):
        if name != BASE and name not in config.train:
            raise UserError(f"config.policies: {name!r}: choose some of {BASE}, {', '.join(config.train)}")
        begins = config.begins.get(name)
        if begins and begins not in config.policies[:n]:
            raise UserError(f"config.policies: {name} begins from {begins}, which must be named before it")


def run_policy(config: ConfigDict, name: str, workdir: Path) -> None:
    """Trains the policy and measures it. `policy.json` is written last."""
    began, folder = time.monotonic(), workdir / name
    measured: dict[str, Any] = {"store": str(workdir / "store.sqlite")}  # golden replies are scored once for all policies
    if name != BASE:
        of, training = config.train[name], folder / "training"
        training.mkdir(parents=True, exist_ok=True)
        begins = config.begins.get(name)
        train.main(cli.changed(of, {"adapter": str(workdir / begins / "training" / "adapter")} if begins else {}), training)
        if not (training / "adapter").is_dir():
            raise SystemExit(0)  # stopped by SIGTERM, which it has said
        measured |= {"policy.adapter": str(training / "adapter"), "policy.thinking": of.thinking}
        if of.thinking:
            measured["policy.max_reply"] = config.max_thinking
    (folder / "evaluation").mkdir(parents=True, exist_ok=True)
    evaluate.main(cli.changed(config.evaluate, measured), folder / "evaluation")
    times = folder / "training" / "times.jsonl"
    steps = [json.loads(line) for line in times.read_text().splitlines()] if times.is_file() else []
    hours = {"training_hours": sum(row["seconds"] for row in steps) / 3600, "hours": (time.monotonic() - began) / 3600}
    write_text(folder / "policy.json", json.dumps({"steps": len(steps)} | hours) + "\n")


def gathered(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """What has been measured so far."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.policies",
        "git_revision": evaluate.git_revision(),
        "config": json.loads(config.to_json()),
        "policies": {
            name: described(workdir / name) if (workdir / name / "policy.json").is_file() else NOT_RUN
            for name in config.policies
        },
    }


def described(folder: Path) -> dict[str, Any]:
    """One policy: its cost, R-EMI and R-EMID by the headline of its evaluation, and what its replies are like."""
    results = json.loads((folder / "evaluation" / "results.json").read_text())
    estimates, headline = results["estimates"], results["estimates"]["headline"]
    estimator, unit, scorer = (headline[key] for key in ("estimator", "unit", "scorer"))

    def replies(key: str) -> dict[str, Any]:
        return {name: of["replies"][key] for name, of in results["categories"].items()}

    def lengths(of: Mapping[str, Any]) -> float:
        return of["lengths"]["policy"]["tokens"]["value"]

    return json.loads((folder / "policy.json").read_text()) | {
        "headline": {"estimator": estimator, "unit": unit, "scorer": scorer},
        "fingerprints": results["fingerprints"],
        "r_emi": {name: of[scorer]["emi"][estimator][unit] for name, of in estimates["categories"].items()},
        "r_emid": headline["categories"],
        "r_emid_by_shift": headline["shifts"],
        "replies": {
            "tokens": float(np.mean([lengths(of) for of in estimates["categories"].values()])),
            "truncated": sum(replies("truncated").values()) / sum(of["records"] for of in results["categories"].values()),
            "in_language": replies("in_language"),
        },
    }


if __name__ == "__main__":
    cli.run(main)
