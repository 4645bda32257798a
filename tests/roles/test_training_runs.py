"""Checkpoints of training runs: which name leads where, what is refused, and what an export holds."""

import dataclasses
import resource

import numpy as np
import pytest
from refusal import refusal
from tiny import tiny_model
from training import moved_adapter

from remid_jax.errors import UserError
from remid_jax.models.adapters import named
from remid_jax.models.peft_files import save_adapter
from remid_jax.roles.pairs import Pair, read_pairs, save_pairs
from remid_jax.roles.shipped import policy_parts
from remid_jax.roles.training_runs import TrainingRun, checkpoint_of, export, read_policy_adapter, training_run

STEPS, KEPT = 20, (8, 16)


@pytest.fixture
def run(tmp_path):
    """A run of 20 steps that kept two and has ended; the adapter after n steps is `moved_adapter(seed=n)`."""
    run = TrainingRun(tmp_path / "sft", "adapter", tiny_model().fingerprint, "tiny", STEPS)
    run.folder.mkdir()
    run.save()
    for step in KEPT:
        save_adapter(run.kept_at(step), moved_adapter(seed=step), tiny_model())
    save_adapter(run.end, moved_adapter(seed=STEPS), tiny_model())
    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_name_of_a_checkpoint_leads_to_its_adapter(run):
    names = {f"{run.folder}@8": 8, f"{run.folder}@16": 16, f"{run.folder}@20": 20, str(run.folder): 20, str(run.end): 20}
    names[f"{run.folder}/kept/16"] = 16
    for name, step in names.items():
        found = read_policy_adapter(name, tiny_model())
        for path, leaf in named(moved_adapter(seed=step).params).items():
            np.testing.assert_array_equal(named(found.params)[path], leaf, err_msg=name)
        assert checkpoint_of(name).step == step
        assert policy_parts(name, None) == ("tiny", name)  # as a model: its base with its adapter
    assert policy_parts(str(run.folder), "other") == ("tiny", "other")
    assert training_run(run.folder) == run
    assert run.kept == list(KEPT)


def test_what_is_no_run_is_read_as_it_stands(run, tmp_path):
    for name in ("", None, "package:smollm2_policy", "org/model", tmp_path, run.folder / "kept", run.folder / "elsewhere"):
        assert checkpoint_of(name) is None
    (tmp_path / "at@8").mkdir()
    assert checkpoint_of(tmp_path / "at@8") is None
    assert policy_parts("org/model", "a") == ("org/model", "a")


def test_what_there_is_not_is_refused_with_what_there_is(run):
    said = f"{run.folder}: step 12 was not kept (8, 16, 20 (the end)): name one of those, or train in another workdir with "
    assert refusal(checkpoint_of, f"{run.folder}@12") == f"{said}config.keep_every=12"
    (run.end / "adapter_config.json").unlink()
    unended = f"{run.folder}: this run of 20 steps has not ended: let it end, or name a step that was kept (8, 16)"
    assert refusal(checkpoint_of, run.folder) == unended
    assert refusal(export, run.folder) == unended
    assert "step 20 was not kept (8, 16): name" in refusal(checkpoint_of, f"{run.folder}@20")
    (run.kept_at(16) / "adapter_config.json").unlink()  # killed while it was written
    assert run.kept == [8]
    assert "step 16 was not kept (8): name" in refusal(checkpoint_of, f"{run.folder}@16")
    nowhere = refusal(checkpoint_of, f"{run.folder}s@8")
    assert nowhere == f"{run.folder}s: is no workdir of a training run, as it has no training.json: check the path"
    last = f"{run.folder}@last: 'last' is no step: name a number, or {run.folder} alone for the last"
    assert refusal(checkpoint_of, f"{run.folder}@last") == last


def test_an_adapter_of_another_base_is_refused(run, tmp_path):
    other = dataclasses.replace(tiny_model(), source="other", fingerprint="f" * 64)
    assert refusal(read_policy_adapter, f"{run.folder}@8", other) == (
        f"{run.folder}@8: was trained on tiny (tiny-0), not on other (ffffffffffff): name that base, or export the adapter "
        "(experiments.export) to use it on another"
    )
    read_policy_adapter(export(run.folder, 8, tmp_path / "out"), other)


def test_another_kind_is_refused_with_where_it_belongs(run, tmp_path):
    fold = Pair("fold0", moved_adapter(seed=1), moved_adapter(seed=2), frozenset({"a"}))
    corl = dataclasses.replace(run, folder=tmp_path / "corl", kind="estimator")
    save_pairs(corl.kept_at(8), [fold], tiny_model(), {"protocol": "cross_fitted"})
    corl.save()
    prints = [read_pairs(name, tiny_model()).fingerprint for name in (f"{corl.folder}@8", corl.kept_at(8))]
    assert prints[0] == prints[1]
    ends = {
        "no adapter: name it as config.estimator.adapters": lambda: read_policy_adapter(f"{corl.folder}@8", tiny_model()),
        "no model: name it as config.estimator.adapters": lambda: policy_parts(f"{corl.folder}@8", None),
    }
    for said, read in ends.items():
        assert refusal(read) == f"{corl.folder}@8: holds the estimator of a training run, {said}"
    assert refusal(read_pairs, f"{run.folder}@8", tiny_model()).endswith("no estimator: name it as config.policy.adapter")


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("{", "line 1, column 2: broken JSON"),
        ('{"schema_version": 2}', "schema_version 2, not 1: run its training once more"),
        ('{"schema_version": 1, "kind": "cake", "steps": 1, "base": {}}', "is no account of a training run: run its"),
        ('{"schema_version": 1, "kind": "model", "steps": 1, "base": {}}', "base has no source and fingerprint: run its"),
    ],
)
def test_a_broken_account_is_refused(run, account, said):
    (run.folder / "training.json").write_text(account)
    assert said in refusal(checkpoint_of, f"{run.folder}@8")


def test_an_export_is_the_checkpoint_wherever_it_goes(run, tmp_path):
    assert export(run.folder, 8) == run.folder / "exported" / "8"
    assert contents(run.folder / "exported" / "8") == contents(run.kept_at(8))
    assert contents(export(run.folder, output=tmp_path / "out")) == contents(run.end)
    assert contents(export(run.folder, 16, tmp_path / "out")) == contents(run.kept_at(16))  # in the place of another


def test_an_export_without_room_leaves_what_was_there(run, tmp_path):
    export(run.folder, 8, tmp_path / "out")
    before, limits = contents(tmp_path / "out"), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(UserError) as caught:
            export(run.folder, 16, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file = tmp_path / "out" / "adapter_model.safetensors"
    assert str(caught.value) == f"{file}: the disk is full (File too large): make room and run the same command again"
    assert contents(tmp_path / "out") == before
