"""Steps that are kept: equal to what a run that stopped there holds, and whole or not there, whatever ends the run."""

import json
import os

import numpy as np
import pytest
import tiny_run
from tiny import tiny_model

from remid_jax.checkpoints import Checkpoints
from remid_jax.errors import UserError
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.kept import KeptSteps
from remid_jax.learning.loop import Stopped
from remid_jax.models.adapters import Adapter, named
from remid_jax.models.peft_files import read_adapter, save_adapter
from remid_jax.parallel import Devices
from remid_jax.roles.training_runs import TrainingRun, read_policy_adapter


def save(folder, learner):
    save_adapter(folder, Adapter(learner.config.adapter, learner.added), tiny_model())


def save_responder(folder, step, learners):
    save(folder, learners["responder"])


def run_in(folder):
    return TrainingRun(folder, "adapter", tiny_model().fingerprint, "tiny", 6)


def kept_steps(folder, every=2, write=save_responder):
    return KeptSteps(run_in(folder), every, write)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six steps that keeps every other."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_run.train(folder, Devices(), kept=kept_steps(folder))
    return folder


def test_a_kept_step_holds_what_a_run_that_stops_there_holds(whole, tmp_path):
    assert run_in(whole).kept == [2, 4, 6]
    made = []
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), made.append, stopping=lambda: len(made) == 4)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    trainer = tiny_run.phases(Devices())[1].trainer
    shapes = {"responder": trainer.start()}
    state = checkpoints._orbax.load(4)["responder"]["trainable"]
    checkpoints.close()
    found = named(read_adapter(run_in(whole).kept_at(4), tiny_model()).params)
    assert found.keys() == named(shapes["responder"].trainable).keys()
    for name, leaf in found.items():
        at = state
        for part in name.split("/"):
            at = at[part]
        np.testing.assert_array_equal(leaf, at["value"] if isinstance(at, dict) else at, err_msg=name)


def test_metrics_name_the_step_that_a_row_made(whole):
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert {row["step"]: row.get("kept") for row in rows} == {0: None, 1: 2, 2: None, 3: 4, 4: None, 5: 6}


def test_without_being_asked_no_step_is_kept_and_the_run_is_told_of(tmp_path):
    made = []
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), made.append, stopping=lambda: len(made) == 2, kept=kept_steps(tmp_path, every=None))
    assert not (tmp_path / "kept").exists()
    assert json.loads((tmp_path / "training.json").read_text()) == {
        "schema_version": 1, "kind": "adapter", "base": {"source": "tiny", "fingerprint": "tiny-0"}, "steps": 6
    }  # fmt: skip


class Killed(BaseException):
    """Stands in for SIGKILL: nothing is tidied up after it."""


def test_a_run_killed_while_it_keeps_a_step_leaves_none_and_goes_on(whole, tmp_path):
    def killed(folder, step, learners):
        if step == 4:
            save_responder(folder, step, learners)
            (folder / "adapter_config.json").unlink()  # which is written last
            raise Killed
        save_responder(folder, step, learners)

    with pytest.raises(Killed):
        tiny_run.train(tmp_path, Devices(), kept=kept_steps(tmp_path, write=killed))
    assert (tmp_path / "kept" / "4" / "adapter_model.safetensors").is_file()
    assert run_in(tmp_path).kept == [2]
    made = []
    tiny_run.train(tmp_path, Devices(), made.append, kept=kept_steps(tmp_path))
    assert made == [3, 4, 5]
    assert contents(tmp_path / "kept") == contents(whole / "kept")


def test_a_full_disk_while_a_step_is_kept_is_one_line_and_nothing_is_lost(whole, tmp_path):
    def full(folder, step, learners):
        save_responder(folder, step, learners)
        if step == 4:
            raise OSError(28, os.strerror(28), str(folder))

    with pytest.raises(UserError) as caught:
        tiny_run.train(tmp_path, Devices(), kept=kept_steps(tmp_path, write=full))
    assert str(caught.value) == (
        f"{tmp_path}/kept/4: the disk is full (No space left on device): make room and run the same command again"
    )
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["2"]
    tiny_run.train(tmp_path, Devices(), kept=kept_steps(tmp_path))
    assert contents(tmp_path / "kept") == contents(whole / "kept")
    assert (tmp_path / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_steps_that_no_checkpoint_remembers_are_dropped(whole, tmp_path):
    made = []
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), made.append, stopping=lambda: len(made) == 3)
    for step in (2, 4):
        save(tmp_path / "kept" / str(step), tiny_run.phases(Devices())[0].trainer.model)
    with pytest.raises(Stopped):
        tiny_run.train(tmp_path, Devices(), stopping=lambda: True, kept=kept_steps(tmp_path))
    assert run_in(tmp_path).kept == [2, 4]  # 4 by this run, now
    assert contents(tmp_path / "kept" / "4") == contents(whole / "kept" / "4")


def test_a_run_that_cannot_go_on_says_where_another_may_begin(whole, tmp_path, monkeypatch):
    def poisoned(self, learner, numbers, step):
        lesson = relative(self, learner, numbers, step)
        if step == 5:
            lesson.columns["advantages"][0][0] = float("nan")
        return lesson

    relative = GroupRelativeRecipe.__call__
    monkeypatch.setattr(GroupRelativeRecipe, "__call__", poisoned)
    with pytest.raises(UserError) as caught:
        tiny_run.train(tmp_path, Devices(), kept=kept_steps(tmp_path))
    setting, said = str(caught.value).rpartition("; config.adapter=")[2].split(" ", 1)
    assert said == "begins with step 4 of this run"
    found, expected = (read_policy_adapter(of, tiny_model()).fingerprint for of in (setting, run_in(whole).kept_at(4)))
    assert found == expected
    for kind, last, beginning in (
        ("model", "config.json", f"; config.model={tmp_path}/kept/2 begins with step 2 of this run"),
        ("estimator", "manifest.json", ""),
    ):
        of_kind = KeptSteps(TrainingRun(tmp_path, kind, "f", "tiny", 6), 2, save_responder)
        assert of_kind.beginning == ""
        (tmp_path / "kept" / "2" / last).write_text("{}")
        assert of_kind.beginning == beginning


def test_parts_keep_their_own_and_only_together_they_are_whole(tmp_path):
    run = TrainingRun(tmp_path, "estimator", "f", "tiny", 4)

    def write(part):
        def write(folder, step, learners):
            (folder / part).mkdir()
            (folder / part / "file").write_text(f"{part} {step}")
            if all((folder / other).is_dir() for other in ("one", "two")):
                (folder / "manifest.json").write_text("{}")

        return write

    one, two = (KeptSteps(run, 2, write(part), part) for part in ("one", "two"))
    one.begin(0)
    one.keep(2, {})
    one.keep(4, {})
    assert run.kept == []
    two.begin(0)
    assert (run.kept_at(2) / "one" / "file").read_text() == "one 2"
    two.keep(2, {})
    two.keep(4, {})
    assert run.kept == [2, 4]
    two.begin(2)  # killed before the checkpoint of its fourth step was whole
    assert run.kept == [2]
    assert [path.name for path in run.kept_at(4).iterdir()] == ["one"]
    two.keep(4, {})
    assert run.kept == [2, 4]
