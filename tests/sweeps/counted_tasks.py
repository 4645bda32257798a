"""A sweep of 24 quick points whose runs leave a file each, so that they can be counted whoever runs them; it uses a store."""

import json
import os
import time
import uuid
from collections import Counter
from pathlib import Path

from remid_jax.scoring.store import key_of
from remid_jax.sweeps.combinations import product
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.plan import Task, planned
from remid_jax.sweeps.points import Point, output

SEEDS, FACTORS = (0, 1, 2, 3), (0.1, 0.7, 3.0)
POINTS = 24


def draw(config, folder, surroundings):
    """Draws a number, or takes it from the store."""
    _count(config, folder, surroundings)
    store, key = surroundings.store(config["store"]), key_of({"seed": config["seed"]})
    there = store.get([key])
    if not there:
        with store.writer() as put:
            put({key: repr(1 / (3 + config["seed"])).encode()})
    value = float(store.get([key])[key])
    surroundings.count({"rows_computed": int(not there), "rows_from_store": int(bool(there))})
    return _written(folder, value)


def times(config, folder, surroundings):
    """Multiplies what another point wrote."""
    _count(config, folder, surroundings)
    return _written(folder, json.loads(Path(config["file"]).read_text())["value"] * config["factor"])


def _count(config, folder, surroundings):
    Path(config["counts"], f"{config['name']} {uuid.uuid4().hex}").write_text(str(os.getpid()))
    surroundings.progress.say(f"at work on {config['name']}")
    if config.get("fails") and not Path(config["counts"], "mended").exists():
        raise ValueError("no such\nluck")
    if config.get("dies") == "always" or (config.get("dies") == "once" and not Path(config["counts"], "died").exists()):
        Path(config["counts"], "died").touch()
        os.kill(os.getpid(), 9)
    ends = time.monotonic() + 120
    while config.get("meets") and len({file.read_text() for file in Path(config["counts"]).iterdir()} - {""}) < 2:
        assert time.monotonic() < ends, "no other process came"
        time.sleep(0.02)
    time.sleep(config["seconds"])


def _written(folder, value):
    text = json.dumps({"value": value, "filler": "x" * 1000})
    (folder / "value.json").write_text(text[:500])
    (folder / "value.json").write_text(text)
    return {"value": value, "half": {"value": value / 2}}


TASKS = {"draw": Task(draw), "times": Task(times)}


def sweep_of(counts, seconds=0.0, **of_first):
    """Four draws, each three times multiplied, eight of those twice. `of_first` are more settings of the first draw."""
    counts.mkdir(exist_ok=True)
    points, lines = [], []

    def add(name, task, *needs, **settings):
        config = {"name": name.replace("/", "-"), "counts": str(counts), "seconds": seconds, **settings}
        points.append(Point(name, task, config, needs))
        return name

    for seed in SEEDS:
        add(f"draw{seed}", "draw", seed=seed, store=None, **(of_first if seed == 0 else {}))
    for at in product(seed=SEEDS, factor=FACTORS):
        words, factor = "{seed}-{factor}".format(**at), at["factor"]
        run = {"draw": f"draw{at['seed']}"}
        run["once"] = add(f"once/{words}", "times", run["draw"], file=output(run["draw"], "value.json"), factor=factor)
        if factor != FACTORS[1]:
            run["twice"] = add(f"twice/{words}", "times", run["once"], file=output(run["once"], "value.json"), factor=factor)
        lines.append(Line(words, [run]))
    columns = [Selector(name, f"{name}.value", ".17g") for name in ("draw", "once", "twice")]
    assert len(points) == POINTS
    return Sweep("Numbers", "python -m nothing", points, [Layout("Products", "point", lines, columns)])


def plan_of(sweep):
    return planned(sweep.points, TASKS, {"kernel": 1})


def runs(counts):
    """Returns {point, its "/" as "-": how often it was run}."""
    return Counter(path.name.partition(" ")[0] for path in counts.iterdir() if " " in path.name)
