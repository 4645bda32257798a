"""Trains and measures the arms of CoRL, and compares them.

    python -m experiments.ablation --config=configs/ablation.py

First on a small world where the truth is known, in minutes, then on the benchmark. Every arm and seed is a folder of the
workdir; what is finished there is not done again. The tables, with arms that have not been run marked so, are written anew
after each: `config.output` (every number) and `config.page` (to read).
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from rich.console import Console

from experiments import ablation_world, cli, corl, evaluate
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import CATEGORIES, Record
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.information.paired import mean_difference
from remid_jax.reporting import ablation, terminal
from remid_jax.validation import reasoned_world

SCHEMA_VERSION = 1
NOT_RUN = "not run"
CONTROLS = ("own", "empty", "shuffled", "teacher", "leaking")
Measure = Callable[[ConfigDict, Path], dict[str, Any]]  # (config of CoRL, folder of the arm) -> figures for its arm.json
POLICIES = ("golden_other", "golden_half")  # fixed policies that every evaluation measures beside the model's replies


def main(config: ConfigDict, workdir: Path) -> None:
    if config.reference not in config.arms:
        raise UserError(f"config.reference={config.reference!r}: choose one of config.arms: {', '.join(config.arms)}")
    console, benchmark = Console(stderr=True), read_benchmark(config.corl.benchmark.source)
    records = {record.id: record for members in benchmark.test.values() for record in members}

    def run(where: Path, called: str, arms: Iterable[str], train: Callable[[str, int], ConfigDict], measure: Measure) -> None:
        for seed, arm in itertools.product(config.seeds, arms):
            folder = where / arm / f"seed{seed}"
            if not (folder / "arm.json").is_file():
                console.print(f"{arm}, seed {seed}, {called}", highlight=False)
                run_arm(train(arm, seed), folder, measure)
            write(config, gathered(config, workdir, records))

    cli.use_compilation_cache()
    world = functools.partial(ablation_world.training, config, folder=workdir / "world")
    run(workdir / "world", "the world", config.world.arms, world, ablation_world.measured)
    measure = functools.partial(measured, config, fixed_replies(config, workdir))
    run(workdir, "the benchmark", config.arms, functools.partial(training, config), measure)
    found = gathered(config, workdir, records)
    wide = Console(width=max(140, Console().width) if not Console().is_terminal else None)
    wide.print(terminal.drawn(ablation.world(found)), terminal.drawn(ablation.benchmark(found)))
    console.print(f"ablation: {config.page}   data: {config.output}", highlight=False, soft_wrap=True)


def write(config: ConfigDict, found: Mapping[str, Any]) -> None:
    write_text(Path(config.output), json.dumps(found, indent=1) + "\n")
    write_text(Path(config.page), ablation.page(found))


def fixed_replies(config: ConfigDict, workdir: Path) -> Path:
    """Replies of the policy of `config.evaluate`, said once, by which every arm's estimator is measured."""
    path = workdir / "replies.jsonl"
    if not path.is_file():
        folder = workdir / "policy"
        folder.mkdir(parents=True, exist_ok=True)
        evaluate.main(cli.changed(config.evaluate, {"estimator.adapters": None}), folder)
        said = pq.read_table(folder / "samples.parquet", columns=["record", "reply"]).to_pylist()
        rows = [{"sample_ID": row["record"], "reply": row["reply"]} for row in said]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def training(config: ConfigDict, arm: str, seed: int) -> ConfigDict:
    """The arm's config of CoRL on the benchmark."""
    return cli.changed(config.corl, {"schedule": config.arms[arm], "seed": seed})


def measured(config: ConfigDict, replies: Path, _: ConfigDict, folder: Path) -> dict[str, Any]:
    """Evaluates the fixed policies by the estimator trained in `folder`, in its `estimate`."""
    values = {"estimator.adapters": str(folder / "estimator"), "policy.replies": str(replies)}
    (folder / "estimate").mkdir(exist_ok=True)
    evaluate.main(cli.changed(config.evaluate, values), folder / "estimate")
    return {}


def run_arm(config: ConfigDict, folder: Path, measure: Measure) -> None:
    """Trains an arm's pairs and measures them. `arm.json`, the cost and what was measured, is written last."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    corl.main(config, folder)
    if not (folder / "estimator").is_dir():
        raise SystemExit(0)  # stopped by SIGTERM, which it has said
    found = measure(config, folder)
    steps = [json.loads(line) for path in folder.glob("*/times.jsonl") for line in path.read_text().splitlines()]
    drawn = [json.loads(line) for path in folder.glob("*/metrics.jsonl") for line in path.read_text().splitlines()]
    cost = {
        "tokens": round(sum(row["seconds"] * row["tokens_per_second"] for row in steps)),
        "rollouts": config.draws * config.prompts_per_step * sum("reward" in row for row in drawn),
        "training_hours": sum(row["seconds"] for row in steps) / 3600,
        "hours": (time.monotonic() - began) / 3600,
    }
    write_text(folder / "arm.json", json.dumps(cost | found) + "\n")


def gathered(config: ConfigDict, workdir: Path, records: Mapping[str, Record]) -> dict[str, Any]:
    """What has been measured so far."""
    folders = {arm: {str(seed): workdir / arm / f"seed{seed}" for seed in config.seeds} for arm in config.arms}
    done = {
        arm: {seed: folder for seed, folder in of_arm.items() if (folder / "arm.json").is_file()}
        for arm, of_arm in folders.items()
    }
    on_world = {
        arm: {str(seed): outcome(workdir / "world" / arm / f"seed{seed}") for seed in config.seeds} for arm in config.world.arms
    }
    reasons = {arm: ablation_world.reasons(config.arms[arm]) for arm in config.arms}
    golden = {
        arm: {seed: golden_likelihoods(folder, reasons[arm]) for seed, folder in of_arm.items()} for arm, of_arm in done.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.ablation",
        "git_revision": evaluate.git_revision(),
        "config": json.loads(config.to_json()),
        "arms": {
            arm: {seed: described(folder, reasons[arm]) if seed in done[arm] else NOT_RUN for seed, folder in of_arm.items()}
            for arm, of_arm in folders.items()
        },
        "golden_log_likelihood_minus_reference": {
            arm: compared(golden[arm], golden[config.reference], records) for arm in config.arms if arm != config.reference
        },
        "world": {"truth": reasoned_world.truth(), "arms": on_world},
    }


def outcome(folder: Path) -> dict[str, Any] | str:
    """The cost and figures of one arm and seed."""
    path = folder / "arm.json"
    return json.loads(path.read_text()) if path.is_file() else NOT_RUN


def controls(folder: Path) -> dict[str, dict[str, float]]:
    """{record that a pair has not seen: its golden reply's mean log-likelihood under every control}."""
    found = json.loads((folder / "controls.json").read_text())
    return {row["sample_ID"]: row for of_fold in found.values() for row in of_fold["records"]}


def golden_likelihoods(folder: Path, reasons: bool) -> dict[str, float]:
    """{record that a pair has not seen: its golden reply's mean log-likelihood, nats a token, as the arm was trained}."""
    return {name: of["own" if reasons else "empty"] for name, of in controls(folder).items()}


def described(folder: Path, reasons: bool) -> dict[str, Any]:
    """One arm and seed: its cost, its controls, and EMI of the fixed policies by category, with reasoning if the arm has it."""
    results = json.loads((folder / "estimate" / "results.json").read_text())["estimates"]
    rows, scorer = list(controls(folder).values()), "reasoned" if reasons else "plain"

    def headline(of: Mapping[str, Any]) -> float | None:
        return of["club"]["token_rate"]["value"]

    scored = {name: of[scorer] for name, of in results["categories"].items()}
    return json.loads((folder / "arm.json").read_text()) | {
        "reasons": reasons,
        "golden_log_likelihood": float(np.mean(list(golden_likelihoods(folder, reasons).values()))),
        "controls": {name: float(np.mean([row[name] for row in rows])) for name in CONTROLS},
        "copied": float(np.mean([row["copied"] for row in rows])),
        "golden_information": {name: headline(of["golden"]) for name, of in scored.items()},
        "r_emi": {"policy": {name: headline(of["emi"]) for name, of in scored.items()}}
        | {policy: {name: headline(of) for name, of in results["controls"][scorer][policy].items()} for policy in POLICIES},
    }


def compared(
    arm: Mapping[str, Mapping[str, float]],
    reference: Mapping[str, Mapping[str, float]],
    records: Mapping[str, Record],
) -> dict[str, Any] | str:
    """By shift, the golden replies' log-likelihood of one arm minus another's, over the seeds that both have."""
    seeds = sorted(set(arm) & set(reference))
    if not seeds:
        return NOT_RUN
    names = [name for name in arm[seeds[0]] if name in records]
    shifts: dict[str, list[str]] = {}
    for category in sorted({records[name].category for name in names}):
        shifts.setdefault(CATEGORIES[category] or category, []).append(category)

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


if __name__ == "__main__":
    cli.run(main)
