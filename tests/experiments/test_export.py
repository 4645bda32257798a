"""Kept steps of training: an export is what the run would have written had it ended there, and evaluations take RUN@STEP."""

import importlib
import json

import pytest
from refusal import refusal
from scripts import change

from experiments import export as script
from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.evaluation.models import open_models
from remid_jax.evaluation.results import trained_in
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter
from remid_jax.parallel import Devices
from remid_jax.roles.pairs import read_pairs
from remid_jax.roles.reading import reading_of
from remid_jax.sweeps import inputs

SFT = {
    "batch": 2, "save_every": 4, "lora.rank": 2, "lora.targets": ("query", "up"),
    # What a step does must not depend on how many are to come.
    "optimizer.schedule": "constant", "optimizer.warmup": 0.0, "devices.tokens_per_step": 1024,
}  # fmt: skip
CORL = {
    "batch": 2, "max_reasoning": 4, "devices.tokens_per_step": 1024, "lora.rank": 2, "save_every": 4, "date": "2026-01-31"
}  # fmt: skip
PHASES = (("cold_reasoner", 1), ("cold_responder", 1), ("plain_responder", 2))
PEOPLE = {"IDTrain": "Ana Bo Cy Di", "IDTest": "Ed Flo Gil Hal"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Records, and reasoning for them."""
    folder = tmp_path_factory.mktemp("records")
    records = [
        Record(f"{category} {name}", f"{name}, a baker.", {"name": name}, (Turn("user", f"Why, {name}?"),), f"Because {name}.",
               category, lineage=name)
        for category, names in PEOPLE.items() for name in names.split()
    ]  # fmt: skip
    write_jsonl(folder / "records.jsonl", records)
    block = "```\n[Core Features of the Golden Response]\n- {}\n```"
    rows = [{"sample_ID": record.id, "reasoning": block.format(record.lineage)} for record in records]
    (folder / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def trained(source, ending_directory, tmp_path_factory):
    """Folders of runs: SFT of four steps that keeps every other, of two steps, and of all parameters; CoRL likewise."""
    root = tmp_path_factory.mktemp("runs")

    def train(task, name, **changes):
        config = importlib.import_module(f"configs.{'policy_sft' if task == 'train' else 'corl_quickstart'}").get_config()
        given = {"model": str(ending_directory), "benchmark.source": str(source / "records.jsonl")}
        given |= SFT if task == "train" else CORL | {"teacher.reasoning": str(source / "teacher.jsonl")}
        change(config, given | changes)
        module = importlib.import_module(f"remid_jax.learning.{'policy' if task == 'train' else 'estimator'}_training")
        (module.train if task == "train" else module.train_estimator)(config, root / name)

    train("train", "sft", steps=4, keep_every=2)
    train("train", "sft2", steps=2)
    train("train", "full", steps=2, keep_every=1, **{"lora.rank": 0})
    train("corl", "corl", schedule=PHASES, keep_every=2)
    train("corl", "corl2", schedule=PHASES[:2])
    return root


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_policy_exported_at_a_step_is_what_a_run_of_so_many_steps_writes(trained, tmp_path, capsys):
    script.main([str(trained / "sft")], 2, str(tmp_path / "adapter"))
    assert capsys.readouterr().out == f"{tmp_path / 'adapter'}\n"
    assert contents(tmp_path / "adapter") == contents(trained / "sft2" / "adapter")
    script.main([str(trained / "sft")], None, str(tmp_path / "last"))
    assert contents(tmp_path / "last") == contents(trained / "sft" / "adapter") == contents(trained / "sft" / "kept" / "4")
    rows = [json.loads(line) for line in (trained / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("kept") for row in rows] == [None, 2, None, 4]


def test_an_estimator_exported_at_a_step_is_what_a_shorter_schedule_writes(trained, ending_directory, tmp_path):
    script.main([str(trained / "corl")], 2, str(tmp_path / "pairs"))
    found, shorter = contents(tmp_path / "pairs"), contents(trained / "corl2" / "estimator")
    manifest, other = (json.loads(files.pop("manifest.json")) for files in (found, shorter))
    assert found == shorter
    assert len(found) == 8  # two files of two adapters of two pairs
    assert (manifest["about"].pop("step"), manifest["about"]["config"]["schedule"]) == (2, [list(phase) for phase in PHASES])
    assert {name: manifest[name] for name in ("base", "pairs", "folds")} == {
        name: other[name] for name in ("base", "pairs", "folds")
    }
    base = open_model(str(ending_directory), "float32")
    prints = {
        name: read_pairs(name, base).fingerprint for name in (f"{trained}/corl@2", f"{tmp_path}/pairs", f"{trained}/corl")
    }
    assert prints[f"{trained}/corl@2"] == prints[f"{tmp_path}/pairs"] == read_pairs(trained / "corl2", base).fingerprint
    assert prints[f"{trained}/corl"] == read_pairs(trained / "corl" / "estimator", base).fingerprint
    assert prints[f"{trained}/corl"] != prints[f"{trained}/corl@2"]


@pytest.fixture
def policy(ending_directory, tmp_path):
    """The policy that an evaluation opens."""

    def policy(model=None, adapter=None):
        config = importlib.import_module("configs.quickstart").get_config()
        config.estimator.model, config.policy.model = str(ending_directory), str(model or ending_directory)
        config.policy.adapter = adapter
        return open_models(config, {}, False, Devices(), reading_of(config, tmp_path)).policy

    return policy


def test_an_evaluation_takes_a_step_of_a_run_by_content(trained, policy, ending_directory):
    base = open_model(str(ending_directory), "float32")
    expected = {
        step: adapted(base, read_adapter(trained / "sft" / "kept" / str(step), base)).fingerprint for step in (2, 4)
    }  # fmt: skip
    assert expected[2] != expected[4]
    for name, step in ((f"{trained}/sft@2", 2), (f"{trained}/sft@4", 4), (f"{trained}/sft", 4), (f"{trained}/sft2", 2)):
        assert policy(adapter=name).fingerprint == policy(model=name).fingerprint == expected[step]
        assert (
            inputs.adapter(name, str(ending_directory)) == read_adapter(trained / "sft" / "kept" / str(step), base).fingerprint
        )
        run = name.partition("@")[0]
        assert trained_in(name) == {"run": run, "step": step}
    assert trained_in(str(ending_directory)) == {"run": None, "step": None}
    whole = open_model(str(trained / "full" / "kept" / "1"), "float32")
    assert policy(model=f"{trained}/full@1").fingerprint == whole.fingerprint == inputs.model(f"{trained}/full@1", None)
    assert policy(model=f"{trained}/full").fingerprint == open_model(str(trained / "full" / "model"), "float32").fingerprint


def test_what_an_evaluation_cannot_take_is_refused(trained, policy, tiny_directory):
    assert refusal(policy, adapter=f"{trained}/sft@3").startswith(f"{trained}/sft: step 3 was not kept (2, 4): name one of")
    assert "full: holds the model of a training run, no adapter: name it as config.policy.model" in refusal(
        policy, adapter=f"{trained}/full"
    )
    assert "sft@2: was trained on " in refusal(policy, model=tiny_directory, adapter=f"{trained}/sft@2")


def test_what_cannot_be_exported_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"2 runs given: name one, the workdir of experiments\.train or"):
        script.main(["a", "b"])
    with pytest.raises(UserError, match=r"corl: step 3 was not kept \(2, 4\): name one of those"):
        script.main([str(trained / "corl")], 3)
    with pytest.raises(UserError, match=r"nowhere: is no workdir of a training run"):
        script.main([str(tmp_path / "nowhere")], 3)


def test_the_sweep_has_a_point_for_each_step_that_ready_runs_have_kept(trained, ending_directory):
    module = importlib.import_module("configs.sweeps.checkpoints")
    config = module.get_config()
    config.runs = (str(trained / "sft"), str(trained / "full"))
    *points, comparison = module.sweep(config).points
    assert {point.name: point.config["policy"]["model"] for point in points} == {
        "evaluate/base": str(ending_directory), "evaluate/sft/2": f"{trained}/sft@2", "evaluate/sft/4": f"{trained}/sft@4",
        "evaluate/full/1": f"{trained}/full@1", "evaluate/full/2": f"{trained}/full@2",
    }  # fmt: skip
    assert comparison.outputs() == {
        f"runs.{name}": (f"evaluate/{name.replace('@', '/')}", "") for name in ("base", "sft@2", "sft@4", "full@1", "full@2")
    }
    config.runs = (str(trained / "sft"), f"{trained.parent}/{trained.name}/./sft")
    assert refusal(module.sweep, config) == "config.runs: two are named sft: rename the folder of one"
    config.runs = (str(trained / "sft2"),)
    assert refusal(module.sweep, config) == (
        f"config.runs: {trained}/sft2 has kept no step: train it with config.keep_every in another workdir"
    )
    config.runs, config.train.keep_every = (), 13
    assert refusal(module.sweep, config) == "config.train.keep_every=13: give a number up to config.train.steps=12"
