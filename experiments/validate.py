"""Estimators, intervals and bounds against the truth: see configs/validate.py."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.markdown import Markdown

import remid_jax
from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.files import read_text, write_text
from remid_jax.parallel import Devices
from remid_jax.progress import Timed
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings
from remid_jax.synthetic import enumerable
from remid_jax.theory.worlds.scenarios import SCENARIOS
from remid_jax.validation import (
    copying_study,
    coverage_study,
    crossed_study,
    dial_study,
    divergence_study,
    fold_study,
    page,
    policy_study,
    simultaneous_study,
    world_study,
)

from . import cli

Report = Callable[[int, int], None]
ROOMS = ("information", "scoring", "shifts", "synthetic", "theory", "validation")


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    check(config)
    real = terms_of(config.run) if config.run else None
    cli.use_compilation_cache()
    stages, devices = Timed(cli.progress()), Devices(local=True)
    parts = Parts(workdir / "parts", stages)
    c = config
    halved = max(1, c.replications // 2)  # of the studies of crossed clusters and folds, whose tables take longer
    few = max(10, c.worlds // 10)  # of those parted in folds, which are all computed at once
    found: dict[str, object] = {
        "settings": {name: c[name] for name in ("seed", "worlds", "restarts", "steps", "replications", "draws")},
        "version": remid_jax.__version__,
        "policies": policy_study.study(),
        "models": parts.part(
            "models", {}, "tokens", lambda report: models(devices, Store(workdir / "store.sqlite"), report)
        ),
        "coverage": {
            name: parts.part(
                f"coverage {name}", {"replications": c.replications, "seed": c.seed}, "tables",
                partial(coverage, channel, c.replications, c.seed),
            )
            for name, channel in coverage_study.channels().items()
        },
        "crossed": {
            name: parts.part(
                f"crossed {name}", {"replications": halved, "seed": c.seed}, "tables",
                partial(crossed_study.study, name, halved, c.seed),
            )
            for name in crossed_study.WORLDS
        },
        "copying": {
            name: parts.part(
                f"copying {name}", {"replications": c.replications, "seed": c.seed}, "tables",
                partial(copying_study.study, name, c.replications, c.seed),
            )
            for name in copying_study.worlds()
        },
        "dials": {
            name: parts.part(
                f"dials {name}", {"replications": c.replications, "seed": c.seed}, "tables",
                partial(dials, channel, c.replications, c.seed),
            )
            for name, channel in coverage_study.channels().items()
        },
        "simultaneous": {
            name: parts.part(
                f"simultaneous {name}", {"replications": c.replications, "seed": c.seed}, "tables",
                partial(simultaneous, world, c.replications, c.seed),
            )
            for name, world in simultaneous_study.worlds().items()
        },
        "folds": {
            "worlds": {
                name: parts.part(
                    f"folds of {name}", {"worlds": few, "seed": c.seed}, "worlds",
                    partial(worlds_in_folds, name, few, c.seed),
                )
                for name in c.scenarios or SCENARIOS
            },
            "coverage": {
                name: parts.part(
                    f"fold blocks {name}", {"replications": halved, "seed": c.seed}, "tables",
                    partial(fold_study.study, name, halved, c.seed, devices),
                )
                for name in coverage_study.channels()
            },
        },
        "bias": parts.part("bias", {"seed": c.seed}, "cells", lambda report: bias(c.seed, report)),
        "divergences": parts.part(
            "divergences", {"draws": c.draws, "seed": c.seed}, "samples",
            lambda report: divergence_study.study(32, c.draws, c.seed, report),
        ),
        "worlds": {
            name: parts.part(
                f"worlds {name}", {"worlds": c.worlds, "seed": c.seed}, "worlds",
                partial(world_study.scenario, name, c.worlds, c.seed, devices),
            )
            for name in c.scenarios or SCENARIOS
        },
        "ascents": {
            name: parts.part(
                f"ascent {name}", {"restarts": c.restarts, "steps": c.steps, "seed": c.seed}, "steps",
                partial(world_study.ascents, name, world_study.ATTACKED, c.restarts, c.steps, c.seed, c.workers),
            )
            for name in c.scenarios or SCENARIOS
        },
        "real": real,
    }  # fmt: skip
    found["seconds"] = parts.seconds
    write_text(workdir / "validation.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    text = page.page(found)
    if config.page:
        write_text(config.page, text)
    Console(width=120).print(Markdown(text))
    faults = page.faults(found)
    if faults:
        raise UserError(f"the product claims more than was found: {'; '.join(faults)}")


def check(config: ConfigDict) -> None:
    """Raises UserError for scenarios that do not exist, or a page that cannot be written."""
    faults = [f"{name!r} is not one of {', '.join(SCENARIOS)}" for name in config.scenarios if name not in SCENARIOS]
    if faults:
        raise UserError(f"config.scenarios: {'; '.join(faults)}")
    if config.page:
        check_output(config.page, "config.page")


class Parts:
    """The parts of a run, each saved as soon as it is done and read back while what it depends on stays the same."""

    def __init__(self, folder: Path, stages: Timed):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stages = folder, stages
        self.seconds, self.sources = 0.0, sources()

    def part(self, name: str, settings: dict[str, Any], unit: str, compute: Callable[[Report], Any]) -> Any:
        """The result of `compute`, or of an earlier run of it under the same settings, version and sources."""
        key = hashlib.sha256(json.dumps([name, settings, self.sources], sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{name.replace(' ', '_')}.json"
        if path.is_file():
            stored = json.loads(read_text(path))
            if stored["key"] == key:
                self.seconds += stored["seconds"]
                return stored["result"]
        with self.stages.stage(name, unit) as advance:
            result = compute(advance)
        seconds = self.stages.seconds[name]
        self.seconds += seconds
        write_text(path, json.dumps({"key": key, "seconds": seconds, "result": result}, allow_nan=False))
        return result


def sources() -> str:
    """sha256 of the rooms that numbers come from, but for the page: a changed estimator or bound is validated anew."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((Path(remid_jax.__file__).parent / room).rglob("*.py")):
            if path != Path(page.__file__):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def models(devices: Devices, store: Store, report: Report) -> dict[str, Any]:
    of = enumerable.enumerated(devices, store, report)
    sampled = {name: enumerable.sampled_club(of, name, 64, 400, 0) for name in ("golden", "wrong")}
    return enumerable.study(of) | {"sampled": sampled}


def coverage(channel: coverage_study.Channel, replications: int, seed: int, report: Report) -> dict[str, Any]:
    rows = []
    for number, n in enumerate(coverage_study.SIZES):

        def advance(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(coverage_study.SIZES) * total)

        for estimator, of in coverage_study.coverage(channel, n, replications, seed, advance).items():
            rows.append({"n": n, "estimator": estimator} | of)
    return {"information": channel.information, "meaning": channel.meaning, "rows": rows}


def worlds_in_folds(name: str, worlds: int, seed: int, report: Report) -> dict[str, int]:
    return fold_study.exact(name, worlds, seed)


def dials(channel: coverage_study.Channel, replications: int, seed: int, report: Report) -> list[dict[str, Any]]:
    return [{"n": n} | dial_study.coverage(channel, n, replications, seed, report) for n in dial_study.SIZES]


def simultaneous(world: simultaneous_study.World, replications: int, seed: int, report: Report) -> list[dict[str, Any]]:
    rows = []
    for number, n in enumerate(simultaneous_study.SIZES):

        def advance(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(simultaneous_study.SIZES) * total)

        rows.append({"n": n} | simultaneous_study.study(world, n, replications, seed, advance))
    return rows


def bias(seed: int, report: Report) -> dict[str, Any]:
    """On the channel `misjudged`: bias and RMSE by n and smoothing, spread of `club` by pairs."""
    channel = coverage_study.channels()["misjudged"]
    cells = [(n, smoothing) for smoothing in coverage_study.SMOOTHINGS for n in coverage_study.BIAS_SIZES]
    rows = []
    for done, (n, smoothing) in enumerate(cells):
        rows.append({"n": n, "smoothing": smoothing, "of": coverage_study.bias(channel, n, smoothing, 400, seed)})
        report(done + 1, len(cells))
    pairs = {
        str(count): coverage_study.spread_by_pairs(channel, 100, count, 400, seed) for count in coverage_study.PAIRS_COMPARED
    }
    return {"information": channel.information, "rows": rows, "pairs": pairs}


def terms_of(path: str) -> dict[str, Any]:
    """{category: {scorer: {"golden", "emi", "emid"}}} of an evaluation's results.json, headline estimator and unit.

    Raises:
      UserError: if the file is not one.
    """
    try:
        results = json.loads(read_text(path))
        estimates = results["estimates"]
        estimator, unit = estimates["headline"]["estimator"], estimates["headline"]["unit"]
        found = {
            name: {
                scorer: {term: section[term][estimator][unit]["value"] for term in ("golden", "emi", "emid") if term in section}
                for scorer in estimates["estimators"]
                for section in [category[scorer]]
            }
            for name, category in estimates["categories"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the results.json of an evaluation ({error!r}): give one as config.run") from error
    return {"source": os.path.basename(os.path.dirname(os.path.abspath(path))), "unit": f"{estimator} {unit}", "terms": found}


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
