"""SIGKILL of driver, worker and node of a sweep on Ray, at seeded moments: what is computed again, and what is not.

    python -m benchmarks.sweep_kills --kind=driver --kind=worker --kind=node --kills=10

Two simulated nodes with folders of their own; the sweep is that of tests/sweeps/counted_tasks.py, 24 points. Each run
of a point writes a line when it begins, with whether the index on the disk has the point already, and one when it ends. A
driver that is killed is started again, plainly. Prints a line of JSON for each kind: kills, runs beyond one a point by what
became of the run before ("recorded" must be 0), whether the table is that of one process, files left half written.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from remid_jax.progress import Silent
from remid_jax.sweeps.cluster import connection
from remid_jax.sweeps.index import Index, journal_beside, read_entries
from remid_jax.sweeps.journal import Journal
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Plan, Surroundings, Task, planned
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.settings import default_settings
from remid_jax.sweeps.tables import page

KINDS = ("driver", "worker", "node")
KIND = flags.DEFINE_multi_enum("kind", KINDS, KINDS, "What is killed.")
KILLS = flags.DEFINE_integer("kills", 10, "How often.")
SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
DRIVE = flags.DEFINE_string("drive", None, "Be the driver of the sweep in this folder.")
ADDRESS = flags.DEFINE_string("address", None, "Of the cluster, for a driver.")
ROOT = Path(__file__).parents[1]
SECONDS = 0.4  # of a point
INDEX, LINES = "index.json", "runs.jsonl"
RECORDED, ENDED, AT_WORK, CUT = "recorded", "ended, not recorded", "still at work", "cut off"
"""What became of a run whose point is run again: it stands in the index; it came to its end but not into the index; it works
beside the other; it has no end."""
sys.path.insert(0, str(ROOT / "tests" / "sweeps"))
counted_tasks = importlib.import_module("counted_tasks")


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if DRIVE.value:
        drive(Path(DRIVE.value))
        return
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        for kind in KIND.value:
            print(json.dumps({"killed": kind, **killed(kind, cluster)}), flush=True)
    finally:
        cluster.shutdown()


def drive(folder: Path) -> None:
    """Runs the sweep in `folder` on the cluster."""
    import ray

    ray.cloudpickle.register_pickle_by_value(counted_tasks)
    config, sweep = default_settings(), counted_tasks.sweep_of(folder / "counts", SECONDS)
    with config.unlocked():
        config.address, config.folder, config.retries = ADDRESS.value, str(folder / "nodes"), 100
    plan = watched(sweep.points, folder)
    index = Index(folder / INDEX, plan)
    with connection.connected(config):
        from remid_jax.sweeps.cluster.launcher import run_on_ray

        run_on_ray(plan, index, chosen(plan.points, ()), folder / "runs", Surroundings(Silent()), config)


def watched(points: Sequence[Any], folder: Path) -> Plan:
    """The plan of the sweep, whose tasks write when they begin and end."""
    tasks = {name: Task(functools.partial(_watched, task.run, str(folder))) for name, task in counted_tasks.TASKS.items()}
    return planned(points, tasks, {"kernel": 1})


def _watched(
    run: Callable[..., Mapping[str, Any]], place: str, config: dict[str, Any], folder: Path, surroundings: Surroundings
) -> Mapping[str, Any]:
    def say(**line: object) -> None:
        with Path(place, LINES).open("a") as file:
            file.write(json.dumps({"run": number, **line}) + "\n")

    number, index = uuid.uuid4().hex, Path(place, INDEX)
    in_journal = Journal(journal_beside(index)).entries()  # before the file, into which it goes
    names = {entry["name"] for entry in in_journal if "done" in entry} | read_entries(index)[0].done.keys()
    say(point=config["name"], began=time.time(), recorded=config["name"] in {name.replace("/", "-") for name in names})
    summary = run(config, folder, surroundings)
    say(ended=time.time())
    return summary


def causes(folder: Path) -> Counter[str]:
    """Counts the runs beyond one a point by what became of the run of that point before."""
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    ends = {line["run"]: line["ended"] for line in lines if "ended" in line}
    counts, before = Counter[str](), dict[str, str]()
    for line in sorted((line for line in lines if "began" in line), key=lambda line: line["began"]):
        last = before.get(line["point"])
        before[line["point"]] = line["run"]
        if last is not None:
            late = AT_WORK if ends.get(last, 0.0) > line["began"] else ENDED
            counts[RECORDED if line["recorded"] else late if last in ends else CUT] += 1
    return counts


def killed(kind: str, cluster: Any) -> dict[str, Any]:
    """Runs sweeps until there were enough kills; a new one begins when one is complete."""
    draws, kills, half, unequal, sweeps = random.Random(f"{SEED.value} {kind}"), 0, 0, 0, 0
    again = Counter({RECORDED: 0})
    while kills < KILLS.value:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            expected, of_sweep = serial(folder / "serial"), 0
            sweep = counted_tasks.sweep_of(folder / "counts", SECONDS)
            driver = start(folder, cluster)
            while driver.poll() is None or driver.returncode != 0:
                before = started(folder)
                while driver.poll() is None and started(folder) == before:
                    time.sleep(0.02)
                time.sleep(draws.uniform(0, 1.5 * SECONDS))
                if driver.poll() is None and kills < KILLS.value:
                    kill(kind, driver, folder, cluster)
                    kills, of_sweep = kills + 1, of_sweep + 1
                if driver.poll() is not None and driver.returncode != 0:
                    Index(folder / INDEX, counted_tasks.plan_of(sweep))  # it can be read at any moment
                    driver = start(folder, cluster)
            again.update(causes(folder))
            half += len([*(folder / "runs").rglob("*.part"), *folder.glob("*.part")])
            tables = page(sweep, Index(folder / INDEX, counted_tasks.plan_of(sweep)))
            unequal += tables != expected
            sweeps += 1
    return {
        "kills": kills, "sweeps": sweeps, "runs_beyond_one_a_point": again.total(), "of_points_whose_run_before": dict(again),
        "unequal_tables": unequal, "half_written": half,
    }  # fmt: skip


def serial(folder: Path) -> str:
    """Returns the page of a run in one process."""
    folder.mkdir()
    sweep = counted_tasks.sweep_of(folder / "counts")
    plan = counted_tasks.plan_of(sweep)
    index = Index(folder / "index.json", plan)
    run_serially(plan, index, chosen(plan.points, ()), folder / "runs", Surroundings())
    return page(sweep, index)


def start(folder: Path, cluster: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.sweep_kills", f"--drive={folder}", f"--address={cluster.address}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def started(folder: Path) -> int:
    return len(list((folder / "counts").iterdir()))


def kill(kind: str, driver: subprocess.Popen[bytes], folder: Path, cluster: Any) -> None:
    if kind == "driver":
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    elif kind == "worker":
        newest = max((folder / "counts").iterdir(), key=lambda path: path.stat().st_mtime)
        os.kill(int(newest.read_text()), signal.SIGKILL)
    else:
        node = cluster.list_all_nodes()[-1]
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        cluster.remove_node(node)
        cluster.add_node(num_cpus=1)


if __name__ == "__main__":
    app.run(main)
