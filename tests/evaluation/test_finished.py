"""A finished evaluation: the same command again writes nothing and shows the same; whatever else than before computes anew."""

import json
import os
import shutil
import subprocess
import sys

import jax
import pytest
from scripts import ROOT, change

from configs import quickstart
from experiments import cli
from experiments import evaluate as script
from remid_jax.errors import UserError
from remid_jax.evaluation import finished, models
from remid_jax.models.adapters import fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import save_adapter
from remid_jax.progress import Silent
from remid_jax.reporting import drawing
from remid_jax.roles.reading import reading_of
from remid_jax.roles.training_runs import TrainingRun
from remid_jax.sweeps.tasks import TASKS

SETTINGS = {
    "benchmark.source": "records.jsonl", "estimator.model": "estimator", "estimator.adapters": "", "policy.model": "model",
    "policy.adapter": "adapter", "estimator.max_reasoning": 4, "policy.max_reply": 4, "policy.self_samples": 0,
    "estimator.dtype": "float32", "policy.dtype": "float32", "first_look": False, "statistics.bootstrap": 20,
    "statistics.subsamples": 2, "devices.max_row": 2048, "devices.tokens_per_step": 1024, "devices.sampling_rows": 4,
}  # fmt: skip


def config_of(**changes):
    config = quickstart.get_config()
    change(config, SETTINGS | {name.replace("__", "."): value for name, value in changes.items()})
    return config


@pytest.fixture(autouse=True)
def _figures_made_but_not_drawn(monkeypatch):
    monkeypatch.setattr(drawing, "svg_bytes", lambda figure: b"<svg></svg>")
    monkeypatch.setattr(drawing, "png_bytes", lambda figure: b"png")


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory, tiny_directory, few_records):
    """A folder with all inputs and the workdir of a run that has ended, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("estimator", "model"):
        shutil.copytree(tiny_directory, folder / name)
    shutil.copy(few_records, folder / "records.jsonl")
    base = open_model(str(folder / "model"))
    save_adapter(folder / "adapter", fresh(base.config, LoRAConfig(2, 4.0), 0), base)
    (folder / "work").mkdir()
    return folder


@pytest.fixture
def evaluated(finished_once, tmp_path, monkeypatch, capsys):
    """A copy of that folder, in which the test runs: `evaluated("work")` is what main prints and whether it computed."""
    folder, began = tmp_path / "again", []

    def compute(*arguments):
        began.append(True)
        return original(*arguments)

    def evaluated(workdir="work", **changes):
        began.clear()
        (folder / workdir).mkdir(exist_ok=True)
        script.main(config_of(**changes), folder / workdir)
        return capsys.readouterr().out, bool(began)

    original = script.compute
    monkeypatch.setattr(script, "compute", compute)
    if not (finished_once / "said").exists():
        monkeypatch.chdir(finished_once)
        script.main(config_of(), finished_once / "work")
        (finished_once / "said").write_text(capsys.readouterr().out)
    shutil.copytree(finished_once, folder)
    monkeypatch.chdir(folder)
    evaluated.folder = folder
    return evaluated


def contents(workdir):
    return {str(path.relative_to(workdir)): path.read_bytes() for path in sorted(workdir.rglob("*")) if path.is_file()}


def outputs(workdir):
    """All files but those with the times of a run, and the store."""
    others = ("run.json", "finished.json", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm")
    return {name: data for name, data in contents(workdir).items() if name not in others}


def test_a_second_run_writes_nothing_opens_nothing_and_shows_the_same(evaluated, monkeypatch, capsys):
    work = evaluated.folder / "work"
    before = {path: path.stat().st_mtime_ns for path in [work, *work.rglob("*")]}, contents(work)

    def poison(*_):
        raise AssertionError("opened a model")

    monkeypatch.setattr(models, "open_model", poison)
    script.main(config_of(), work)
    shown = capsys.readouterr()
    assert shown.out == (evaluated.folder / "said").read_text()
    assert len(shown.out.splitlines()) > 10
    assert f"nothing to do: {work} is finished, and nothing that it depends on has changed" in shown.err
    assert ({path: path.stat().st_mtime_ns for path in [work, *work.rglob("*")]}, contents(work)) == before
    listed = {*json.loads((work / "finished.json").read_text())["outputs"]}
    assert listed == {"run.json", *outputs(work)} - {"day.txt"}


def flip(path):
    """Turns the sign of the last of a file's weights."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x80
    path.write_bytes(data)


def edit(path):
    path.write_bytes(path.read_bytes() + b"\n")


def reply(path):
    """Changes one letter of a golden reply."""
    said = json.loads(path.read_text().splitlines()[4])["agent_golden_response"]
    path.write_text(path.read_text().replace(said, ("X" if said[0] != "X" else "Y") + said[1:]))


INPUTS = {
    "a setting": None,
    "a byte of the benchmark": lambda folder: reply(folder / "records.jsonl"),
    "a byte of the estimator's weights": lambda folder: flip(folder / "estimator" / "model.safetensors"),
    "a byte of the adapter": lambda folder: flip(folder / "adapter" / "adapter_model.safetensors"),
    "a byte of the model's tokenizer": lambda folder: edit(folder / "model" / "tokenizer.json"),
}
OUTPUTS = {
    "results deleted": lambda work: (work / "results.json").unlink(),
    "a figure deleted": lambda work: next((work / "figures").iterdir()).unlink(),
    "the report edited": lambda work: edit(work / "report.html"),
    "scores edited": lambda work: flip(work / "scores.npz"),
    "times edited": lambda work: edit(work / "run.json"),
    "no account of it": lambda work: (work / "finished.json").unlink(),
    "a broken account": lambda work: (work / "finished.json").write_text("{"),
    "an account of nothing": lambda work: (work / "finished.json").write_text('{"identity": {}, "outputs": []}'),
}


@pytest.mark.parametrize("what", INPUTS)
def test_changed_inputs_are_computed_anew(evaluated, what):
    work, alter = evaluated.folder / "work", INPUTS[what]
    changes = {} if alter else {"seed": 1}
    if alter:
        alter(evaluated.folder)
    before = outputs(work)
    said, computed = evaluated(**changes)
    assert computed
    assert (outputs(work) == before) == (what == "a byte of the model's tokenizer")  # a line feed at its end says nothing
    assert evaluated(**changes) == (said, False)
    if what == "a byte of the benchmark":
        (evaluated.folder / "fresh").mkdir()
        for store in work.glob("store.sqlite*"):
            shutil.copy(store, evaluated.folder / "fresh")
        assert evaluated("fresh", **changes) == (said, True)
        assert outputs(evaluated.folder / "fresh") == outputs(work)


@pytest.mark.parametrize("what", OUTPUTS)
def test_missing_and_edited_outputs_are_written_anew(evaluated, what):
    work = evaluated.folder / "work"
    before, run = outputs(work), identity(work)
    assert finished.is_finished(work, run)
    OUTPUTS[what](work)
    assert not finished.is_finished(work, run)
    if what not in ("results deleted", "the report edited", "a broken account"):
        return
    said = (evaluated.folder / "said").read_text()
    assert evaluated() == (said, True)
    assert outputs(work) == before
    assert evaluated() == (said, False)


def test_results_of_an_interrupted_run_are_not_taken_for_those_of_the_finished_one(evaluated, monkeypatch):
    work = evaluated.folder / "work"
    before = outputs(work)

    class Ending(Silent):
        def stage(self, name, unit="tokens"):
            if name == "report":
                raise KeyboardInterrupt
            return super().stage(name, unit)

    with monkeypatch.context() as ending:
        ending.setattr(cli, "progress", Ending)
        with pytest.raises(KeyboardInterrupt):
            evaluated(seed=1)
    assert outputs(work)["results.json"] != before["results.json"]
    assert evaluated() == ((evaluated.folder / "said").read_text(), True)
    assert outputs(work) == before


def identity(folder=None, **changes):
    config = config_of(**changes)
    return finished.identity_of(config, reading_of(config, folder))


def test_another_program_library_device_variable_or_day_is_another_run(evaluated, monkeypatch, tmp_path):
    source = tmp_path / "package" / "deep" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("one = 1\n")
    monkeypatch.setattr(finished, "PACKAGE", tmp_path / "package")
    first = identity(date="2026-01-31")
    (source.parent / "__pycache__").mkdir()
    (source.parent / "__pycache__" / "a.pyc").write_text("compiled")
    (source.parent / ".a.py.swp").write_text("open in an editor")
    assert identity(date="2026-01-31").key == first.key
    keys = {first.key, identity(date="2026-02-01").key}
    for name, value in (("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16"), ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")):
        with monkeypatch.context() as other:
            other.setenv(name, value)
            keys.add(identity(date="2026-01-31").key)
    with monkeypatch.context() as other:
        other.setattr(finished.platform, "python_version", lambda: "4.0")
        keys.add(identity(date="2026-01-31").key)
    with monkeypatch.context() as other:
        other.setattr(jax, "devices", lambda: [*jax.local_devices()] * 2)
        keys.add(identity(date="2026-01-31").key)
    source.write_text("one = 2\n")
    keys.add(identity(date="2026-01-31").key)
    assert len(keys) == 7


def test_what_only_running_tells_is_unknown(evaluated, monkeypatch):
    assert identity() is not None
    assert identity(policy__model="endpoint:somebody", endpoints="endpoints.json") is None
    os.mkfifo("replies.jsonl")  # nobody writes to it: reading would wait for ever
    os.mkfifo("more.jsonl")
    for changes in (
        {"policy__replies": "replies.jsonl"},
        {"benchmark__source": "more.jsonl"},
        {"policy__adapter": "nowhere"},
        {"prompts": "nowhere"},
        {"estimator__model": "nowhere.gguf"},
        {"embedding__model": "package:nowhere"},
    ):
        assert identity(**changes) is None

    def not_here(source):
        raise UserError(f"{source}: the hub does not answer")

    with monkeypatch.context() as hub:
        hub.setattr(finished, "located", not_here)
        assert identity(policy__model="some/model") is None
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert finished.identity_of(config_of(), {"control_tokens": "text", "date": None}) is None


def test_inputs_that_change_while_it_runs_leave_no_account(evaluated, monkeypatch):
    work, compute = evaluated.folder / "work", script.compute

    def disturbed(*arguments):
        found = compute(*arguments)
        reply(evaluated.folder / "records.jsonl")
        return found

    (work / "finished.json").unlink()
    monkeypatch.setattr(script, "compute", disturbed)
    evaluated()
    assert not (work / "finished.json").exists()


def test_a_checkpoint_of_a_training_run_counts_with_its_account(evaluated):
    run = TrainingRun(evaluated.folder / "run", "adapter", "base", "model", 8)
    shutil.copytree("adapter", run.kept_at(4))
    shutil.copytree("adapter", run.end)
    run.save()
    first = [identity(policy__model="run@4", policy__adapter="").key, identity(policy__adapter="run").key]
    flip(run.end / "adapter_model.safetensors")
    second = [identity(policy__model="run@4", policy__adapter="").key, identity(policy__adapter="run").key]
    assert [one == other for one, other in zip(first, second, strict=True)] == [True, False]
    edit(run.folder / "training.json")
    third = [identity(policy__model="run@4", policy__adapter="").key, identity(policy__adapter="run").key]
    assert not {*second} & {*third}
    edit(evaluated.folder / "model" / "config.json")  # the base of the run
    assert identity(policy__model="run@4", policy__adapter="").key not in third


def test_every_setting_that_names_an_input_counts():
    assert finished.INPUTS.keys() == TASKS["evaluate"].inputs.keys()


def test_nothing_that_computes_or_draws_is_imported_for_it():
    asked = "import sys, experiments.evaluate; print(*{'transformers', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
