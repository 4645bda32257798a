"""Trains every policy, measures each with one estimator, and sets them side by side.

    python -m experiments.policies --config=configs/policies.py

The table, with policies that have not been run marked so, is written anew after each: `config.output` (every number) and
`config.page` (to read). A policy that stands there, of the same config, is not run again; what is half done is in a folder of
the workdir.
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

from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.reporting import policies, terminal
from remid_jax.settings import check_settings

from . import cli, evaluate, train
from .findings import Findings

SCHEMA_VERSION = 2
BASE = "base"  # the model as it is


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("output", "page"):
        check_output(config[name], f"config.{name}")
    check(config)
    console = Console(stderr=True)
    findings = Findings(config.output, {("policies", name): part(config, name) for name in config.policies})
    for name in config.policies:
        if ("policies", name) in findings:
            console.print(f"policy {name}: stands in {config.output}", highlight=False, soft_wrap=True)
        else:
            console.print(f"policy {name}", highlight=False)
            findings.add(("policies", name), run_policy(config, name, workdir))
            write(config, findings)
    found = write(config, findings)
    Console(width=max(160, Console().width) if not Console().is_terminal else None).print(terminal.drawn(policies.table(found)))
    console.print(f"policies: {config.page}   data: {config.output}", highlight=False, soft_wrap=True)


def write(config: ConfigDict, findings: Findings) -> dict[str, Any]:
    """Writes what has been measured so far, and returns it."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.policies",
        "config": json.loads(config.to_json()),
        "policies": findings.under("policies"),
    }
    write_text(config.output, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_text(config.page, policies.page(found))
    return found


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


def part(config: ConfigDict, name: str) -> ConfigDict:
    """All settings that a policy's numbers depend on."""
    found = ConfigDict({"evaluate": config.evaluate})
    if name != BASE:
        found.train = config.train[name]
        if found.train.thinking:
            found.max_thinking = config.max_thinking
    if begins := config.begins.get(name):
        found.begins = part(config, begins)
    return found


def run_policy(config: ConfigDict, name: str, workdir: Path) -> dict[str, Any]:
    """Trains the policy and measures it."""
    began, folder = time.monotonic(), workdir / name
    measured: dict[str, Any] = {"store": str(workdir / "store.sqlite")}  # golden replies are scored once for all policies
    if name != BASE:
        thinking = config.train[name].thinking
        measured |= {"policy.adapter": str(trained(config, name, workdir)), "policy.thinking": "tags" if thinking else "no"}
        if thinking:
            measured["policy.max_reply"] = config.max_thinking
    (folder / "evaluation").mkdir(parents=True, exist_ok=True)
    evaluate.main(cli.changed(config.evaluate, measured), folder / "evaluation")
    times = folder / "training" / "times.jsonl"
    steps = [json.loads(line) for line in times.read_text().splitlines()] if times.is_file() else []
    cost = {"steps": len(steps), "training_hours": sum(row["seconds"] for row in steps) / 3600}
    return cost | {"hours": (time.monotonic() - began) / 3600} | described(folder)


def trained(config: ConfigDict, name: str, workdir: Path) -> Path:
    """The policy's adapter, trained if it is not there, and so is the one that it begins from."""
    folder = workdir / name / "training"
    if not (folder / "adapter").is_dir():
        begins = config.begins.get(name)
        values = {"adapter": str(trained(config, begins, workdir))} if begins else {}
        folder.mkdir(parents=True, exist_ok=True)
        train.main(cli.changed(config.train[name], values), folder)
    return folder / "adapter"


def described(folder: Path) -> dict[str, Any]:
    """One policy: R-EMI and R-EMID by the headline of its evaluation, and what its replies are like."""
    results = json.loads((folder / "evaluation" / "results.json").read_text())
    estimates, headline = results["estimates"], results["estimates"]["headline"]
    estimator, unit, scorer = (headline[key] for key in ("estimator", "unit", "scorer"))

    def replies(key: str) -> dict[str, Any]:
        return {name: of["replies"][key] for name, of in results["categories"].items()}

    def lengths(of: Mapping[str, Any]) -> float:
        return of["lengths"]["policy"]["tokens"]["value"]

    return {
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


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
