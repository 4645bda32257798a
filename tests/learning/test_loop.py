"""Runs that are killed, stopped, or given bad input: what is on disk afterwards, and how they go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_run

from remid_jax.checkpoints import Checkpoints
from remid_jax.errors import UserError
from remid_jax.identity import Identity, identify
from remid_jax.learning.feed import Feed
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.loop import Stopped
from remid_jax.models.adapters import named
from remid_jax.parallel import Devices

TESTS = Path(__file__).parents[1]


def process(folder, step):
    """A run in a process of its own, which waits in a step to be killed."""
    paths = os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "learning")))
    return subprocess.Popen(
        [sys.executable, tiny_run.__file__, str(folder), str(step)],
        env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def state(folder):
    """(number, {name: array} of the last checkpoint, its places)."""
    found = Checkpoints(folder / "checkpoints")
    tree = found._orbax.load(found.latest)
    leaves = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    beside = found.beside(found.latest)
    found.close()
    return found.latest, leaves, beside


def rows(folder, name="metrics.jsonl"):
    return (folder / name).read_text()


class Killed(BaseException):
    """Stands in for a kill where what is on disk matters, and not how the process ended."""


def steps_of(folder):
    """The steps that a run in this process makes until it is done."""
    steps = []
    tiny_run.train(folder, Devices(), steps.append)
    return steps


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert steps_of(folder) == list(range(6))
    return folder


def assert_equal_runs(folder, other):
    (number, leaves, beside), (expected, wanted, expected_beside) = state(folder), state(other)
    assert (number, beside) == (expected, expected_beside) == (6, beside)
    assert leaves.keys() == wanted.keys()
    assert sum("mu" in name for name in leaves) > 0
    for name, leaf in leaves.items():
        np.testing.assert_array_equal(leaf, wanted[name], err_msg=name)
    assert rows(folder) == rows(other)
    assert rows(folder, "rollouts.jsonl") == rows(other, "rollouts.jsonl")


def test_a_run_killed_inside_a_step_goes_on_from_there_bit_for_bit(uninterrupted, tmp_path):
    step, said = 3, []  # the boundary of two phases
    child = process(tmp_path, step)
    for line in child.stdout:
        said.append(line)
        if line == f"step {step}\n":
            while not (tmp_path / "checkpoints" / str(step)).is_dir():  # the save of the step before comes to its end
                time.sleep(0.05)
            child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert said == [f"step {n}\n" for n in range(step + 1)]
    assert steps_of(tmp_path) == list(range(step, 6))
    assert_equal_runs(tmp_path, uninterrupted)


@pytest.mark.parametrize("step", [2, 4], ids=["sft", "grpo"])
def test_a_run_that_ends_inside_a_step_goes_on_from_there_bit_for_bit(uninterrupted, tmp_path, step):
    def end(now):
        if now == step:
            raise Killed

    with pytest.raises(Killed):
        tiny_run.train(tmp_path, Devices(), end)
    assert steps_of(tmp_path) == list(range(step, 6))
    assert_equal_runs(tmp_path, uninterrupted)


def test_a_checkpoint_cut_off_while_it_is_written_does_not_exist(uninterrupted, tmp_path):
    """The process is killed between the beginning of a save and its end, wherever that finds the files."""
    child = process(tmp_path, 3)
    for line in child.stdout:
        if line == "step 3\n":  # the save of step 3's beginning is under way
            child.send_signal(signal.SIGKILL)
    child.wait()
    assert steps_of(tmp_path)[0] in (2, 3)
    assert_equal_runs(tmp_path, uninterrupted)


def test_a_run_asked_to_stop_saves_and_goes_on(uninterrupted, tmp_path):
    asked = []
    with pytest.raises(Stopped) as stop:
        tiny_run.train(tmp_path, Devices(), asked.append, stopping=lambda: len(asked) == 2, save_every=100)
    assert (stop.value.step, state(tmp_path)[0]) == (2, 2)
    tiny_run.train(tmp_path, Devices(), save_every=100)
    assert_equal_runs(tmp_path, uninterrupted)


def test_whoever_is_frozen_does_not_change_in_a_phase(tmp_path):
    began = {phase.learner: named(phase.trainer.start().trainable) for phase in tiny_run.phases(Devices())}
    seen = []
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), seen.append, stopping=lambda: len(seen) == 3)
    _, leaves, _ = state(tmp_path)
    for name, array in began["responder"].items():
        path = "".join(f"['{part}']" for part in ["responder", "trainable", *name.split("/")])
        [found] = [leaf for place, leaf in leaves.items() if place.startswith(path)]
        np.testing.assert_array_equal(found, array)


def test_the_last_checkpoint_is_kept(uninterrupted):
    assert [path.name for path in (uninterrupted / "checkpoints").iterdir() if path.name.isdigit()] == ["6"]


def test_another_config_does_not_go_on_from_here(tmp_path):
    seen = []
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), seen.append, stopping=lambda: len(seen) == 1)
    other = identify({"model": "a"}, {"model": "other"}, {})
    with pytest.raises(UserError, match=r"this workdir holds a run that differs in model \(not set -> 'a'\): use the config"):
        tiny_run.train(tmp_path, Devices(), identity=other)
    assert state(tmp_path)[0] == 1


def test_a_run_of_an_earlier_version_does_not_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Identity, "as_json", lambda identity: {"base": "x", "settings": {"steps": 2}})  # as it once was kept
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), stopping=lambda: True)
    monkeypatch.undo()
    with pytest.raises(UserError, match="begun by a version that kept no such account of its settings"):
        tiny_run.train(tmp_path, Devices())


def test_a_loss_that_is_not_a_number_stops_and_names_its_records(uninterrupted, tmp_path, monkeypatch):
    whole = GroupRelativeRecipe.__call__

    def poisoned(self, learner, numbers, step):
        lesson = whole(self, learner, numbers, step)
        if step == 4:
            lesson.columns["advantages"][0][0] = float("nan")
        return lesson

    monkeypatch.setattr(GroupRelativeRecipe, "__call__", poisoned)
    said = r"step 4 \(grpo\): the loss is nan.* on records \d, \d: train in another workdir, with .* those records$"
    with pytest.raises(UserError, match=said):
        tiny_run.train(tmp_path, Devices(), save_every=3)
    assert state(tmp_path)[0] == 3
    assert len(rows(tmp_path).splitlines()) == 4
    monkeypatch.undo()
    assert steps_of(tmp_path) == [3, 4, 5]  # the steps since the last save are made again, of the same records
    assert_equal_runs(tmp_path, uninterrupted)


def test_a_recipe_that_fails_loses_no_checkpoint(uninterrupted, tmp_path):
    def fail(step):
        if step == 3:
            raise UserError("no such record")

    with pytest.raises(UserError, match="no such record"):
        tiny_run.train(tmp_path, Devices(), fail)
    assert state(tmp_path)[0] == 3
    tiny_run.train(tmp_path, Devices())
    assert_equal_runs(tmp_path, uninterrupted)


def test_a_feed_goes_through_all_records_once_an_epoch_and_on_from_its_place():
    feed, other = Feed(7, 3, 0), Feed(7, 3, 0)
    drawn = [next(feed) for _ in range(7)]
    flat = [n for batch in drawn for n in batch]
    assert all(sorted(flat[7 * e : 7 * e + 7]) == list(range(7)) for e in range(3))
    assert flat[:7] != flat[7:14]
    place = Feed(7, 3, 0)
    for _ in range(4):
        next(place)
    other.place = json.loads(json.dumps(place.place))
    assert [next(other) for _ in range(3)] == drawn[4:]
    assert len({tuple(next(Feed(7, 3, seed))) for seed in range(5)}) > 1
