"""A point that fails is marked and stops no other; a full disk stops all, and nothing is lost; killed, a rerun goes on."""

import errno
import json
import multiprocessing
import os
import random
import signal
import time

import counted_tasks
import pytest
from counted_tasks import POINTS, plan_of, runs, sweep_of

from remid_jax.errors import UserError
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.locks import claimed, is_claimed
from remid_jax.sweeps.plan import Surroundings
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.tables import page


def launch(tmp_path, sweep, **more):
    plan = plan_of(sweep)
    index = Index(tmp_path / "index.json", plan)
    outcome = run_serially(plan, index, chosen(plan.points, ()), tmp_path / "runs", Surroundings(), **more)
    return index, outcome


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The page of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep = sweep_of(folder / "counts")
    index, outcome = launch(folder, sweep)
    assert len(outcome.run) == POINTS
    assert set(runs(folder / "counts").values()) == {1}
    return page(sweep, index)


def test_a_failure_is_marked_and_the_others_are_run(tmp_path, expected):
    sweep = sweep_of(tmp_path / "counts", fails=True)
    index, outcome = launch(tmp_path, sweep)
    log = tmp_path / "runs" / "draw0" / "log.txt"
    assert {name: (failure.error, failure.log) for name, failure in outcome.failed.items()} == {
        "draw0": ("ValueError: no such luck", str(log))
    }
    assert 'raise ValueError("no such\\nluck")' in log.read_text()
    assert log.read_text().startswith("at work on draw0\n")
    assert outcome.waiting == {f"{word}/0-{factor}": "draw0" for word, factor in
                               [("once", 0.1), ("twice", 0.1), ("once", 0.7), ("once", 3.0), ("twice", 3.0)]}  # fmt: skip
    assert len(outcome.run) == POINTS - 6
    assert json.loads((tmp_path / "index.json").read_text())["failed"].keys() == {"draw0"}

    _, again = launch(tmp_path, sweep)
    assert (again.run, list(again.failed), len(again.waiting)) == ([], ["draw0"], 5)
    assert runs(tmp_path / "counts")["draw0"] == 1
    (tmp_path / "counts" / "mended").touch()
    index, mended = launch(tmp_path, sweep, retry_failed=True)
    assert (len(mended.run), mended.failed, mended.waiting) == (6, {}, {})
    assert "failed" not in json.loads((tmp_path / "index.json").read_text())
    assert page(sweep, index) == expected


def test_a_full_disk_stops_all_points_and_none_is_to_blame(tmp_path, expected, monkeypatch):
    sweep, write = sweep_of(tmp_path / "counts"), counted_tasks._written
    full = iter([False] * 5 + [True])

    def written(folder, value):
        if next(full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "value.json"))
        return write(folder, value)

    with monkeypatch.context() as disk:
        disk.setattr(counted_tasks, "_written", written)
        with pytest.raises(UserError) as refusal:
            launch(tmp_path, sweep)
    assert str(refusal.value).endswith(
        "value.json: the disk is full (No space left on device): make room and run the same command again"
    )
    content = json.loads((tmp_path / "index.json").read_text())
    assert (len(content["points"]), "failed" in content) == (5, False)
    index, outcome = launch(tmp_path, sweep)
    assert len(outcome.run) == POINTS - 5
    assert page(sweep, index) == expected


def test_killed_at_any_moment_a_rerun_computes_what_was_lost_alone(tmp_path, expected):
    """Ten SIGKILLs of the process that runs points, each at a drawn moment of what is left."""
    sweep, draws, fork = sweep_of(tmp_path / "counts", seconds=0.02), random.Random(0), multiprocessing.get_context("fork")
    killed = 0
    while killed < 10:
        process = fork.Process(target=launch, args=(tmp_path, sweep))
        process.start()
        time.sleep(draws.uniform(0.02, 0.15))
        if process.is_alive():
            killed += 1
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        Index(tmp_path / "index.json", plan_of(sweep))  # it can be read at any moment
    index, _ = launch(tmp_path, sweep)
    assert page(sweep, index) == expected
    counts = runs(tmp_path / "counts")
    assert len(counts) == POINTS
    assert sum(counts.values()) <= POINTS + killed  # a kill costs one point at most
    assert not list((tmp_path / "runs").rglob("*.part"))


def test_rows_are_shared_through_the_store_and_counted(tmp_path):
    sweep = sweep_of(tmp_path / "counts")
    _, outcome = launch(tmp_path, sweep)
    assert outcome.work == {"rows_computed": 4, "rows_from_store": 0}
    for file in (tmp_path / "runs").glob("draw*/point.json"):
        file.unlink()
    (tmp_path / "index.json").unlink()
    _, outcome = launch(tmp_path, sweep)
    assert outcome.work == {"rows_computed": 0, "rows_from_store": 4}
    entries = json.loads((tmp_path / "index.json").read_text())["points"]
    assert entries["draw1"]["work"] == {"rows_computed": 0, "rows_from_store": 1}
    assert "work" not in entries["once/1-0.1"]


def test_a_claim_ends_with_its_holder(tmp_path):
    assert not is_claimed(tmp_path)
    waited = []
    with claimed(tmp_path, lambda: waited.append(1)):
        assert is_claimed(tmp_path)
    assert (is_claimed(tmp_path), waited) == (False, [])

    fork = multiprocessing.get_context("fork")
    held = fork.Event()

    def hold():
        with claimed(tmp_path, lambda: None):
            held.set()
            time.sleep(60)

    holder = fork.Process(target=hold)
    holder.start()
    assert held.wait(30)
    with claimed(tmp_path, lambda: (waited.append(2), os.kill(holder.pid, signal.SIGKILL))):
        assert waited == [2]
    holder.join()
