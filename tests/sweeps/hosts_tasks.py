"""Points that several processes may run together: scores and samples of the tiny model, and one that reads them."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices, is_first_host
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.sweeps.plan import Task, planned
from remid_jax.sweeps.points import Point, output


def score(config, folder, surroundings):
    """Scores and samples on all devices of all hosts."""
    sys.path.insert(0, config["tests"])
    from tiny import REQUESTS, tiny_model

    _die_once(config)
    devices = Devices("mesh")
    store, model = surroundings.store(config["store"]), dataclasses.replace(tiny_model(), mesh=devices.parameter_mesh)
    engine = ScoringEngine(model, devices, store, 256, 256)
    scores = [[values.tolist() for values in of_request] for of_request in engine.score(REQUESTS)]
    prompts = [Prompt(request.prefix, [Draw(1.0, key=record_key(0, "t", str(len(request.prefix))))]) for request in REQUESTS]
    replies = Generator(model, devices, store, 8).generate(prompts, Sampler(10, (1,)))
    samples = [[list(map(int, sample.ids)) for sample in of_prompt] for of_prompt in replies]
    surroundings.progress.say(f"scored by {jax.process_count()} hosts")
    if is_first_host():
        (folder / "scores.json").write_text(json.dumps(scores))
    return {"scores": scores, "samples": samples, "hosts": jax.process_count(), "rows_computed": engine.counts.store_misses}


def total(config, folder, surroundings):
    """Sums what the first host of another point has written, on each host; "fails_on" is told which of them fails."""
    if config.get("fails_on") == jax.process_index():
        raise ValueError(f"host {jax.process_index()} of {jax.process_count()} is out of luck")
    scores = json.loads(Path(config["file"]).read_text())
    mine = sum(value for lists in scores for values in lists for value in values)
    return {"sums": multihost_utils.process_allgather(np.array([mine])).ravel().tolist()}  # which waits for all hosts


def _die_once(config):
    """The second host dies on the first try."""
    died = Path(config["marks"], "died")
    if jax.process_index() == 1 and not died.exists():
        died.touch()
        os.kill(os.getpid(), 9)


TASKS = {"score": Task(score), "total": Task(total)}


def plan_of(marks):
    scored, file = (
        {"store": None, "marks": str(marks), "tests": str(Path(__file__).parents[1])},
        output("scores", "scores.json"),
    )
    points = [
        Point("scores", "score", scored),
        Point("again", "score", scored | {"number": 2}, ("scores",)),
        Point("total", "total", {"file": file}, ("scores",)),
        Point("luckless", "total", {"file": file, "fails_on": 1}, ("again", "scores")),
    ]
    return planned(points, TASKS, {"kernel": 1})
