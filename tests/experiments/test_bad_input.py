"""Bad input is refused with a message that names the place, and nothing is written over; a process ends with one line and
status 2."""

import json
import shutil
import sqlite3

import pytest
from safetensors.numpy import load_file, save_file
from scripts import ROOT

CONFIG = f"--config={ROOT}/configs/quickstart.py"


@pytest.fixture
def evaluate(refused, tiny_directory, few_records, tmp_path):
    """Calls an evaluation that must fail, over results that must stay: its message."""

    def evaluate(benchmark=few_records, model=tiny_directory, **changes):
        (tmp_path / "work").mkdir(exist_ok=True)
        (tmp_path / "work" / "results.json").write_text("mine")
        given = {"estimator.model": str(model), "policy.model": str(model), "estimator.adapters": ""}
        error = refused("evaluate", given | {"benchmark.source": str(benchmark)} | changes, config="quickstart")
        assert (tmp_path / "work" / "results.json").read_text() == "mine"
        return error

    return evaluate


def test_benchmark_files(evaluate, tmp_path, few_records):
    records = [json.loads(line) for line in few_records.read_text().splitlines()]

    def fails(text):
        (tmp_path / "bad.jsonl").write_text(text)
        return evaluate(benchmark="bad.jsonl")

    assert "missing.jsonl" in evaluate(benchmark="missing.jsonl")
    assert "empty" in fails("")
    assert "line 1" in fails('{"sample_ID": ')
    bad = json.loads(json.dumps(records))
    bad[0]["user_persona"] = 7
    bad[1]["sample_ID"] = bad[2]["sample_ID"]
    bad[3]["subset_tag"] = "klingon"
    bad[6]["agent_golden_response"] = " "
    error = fails("".join(json.dumps(record) + "\n" for record in bad))
    for word in ("user_persona", bad[2]["sample_ID"], "klingon", "agent_golden_response"):
        assert word in error
    assert "WordLevelComposition" in fails("".join(json.dumps(record) + "\n" for record in records[:7]))


def test_replies_file(evaluate, tmp_path, few_records):
    names = [json.loads(line)["sample_ID"] for line in few_records.read_text().splitlines()]
    lines = [{"sample_ID": name, "reply": "Hello."} for name in names[:-1]]
    lines[0]["reply"] = None
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    error = evaluate(**{"policy.replies": "replies.jsonl"})
    assert names[0] in error
    assert names[-1] in error


def test_the_teachers_reasoning_is_refused(evaluate):
    assert "golden replies in view" in evaluate(**{"estimator.reasoning": "package:rpgbench_compact"})


def test_models(evaluate, tmp_path, tiny_directory):
    def copy(name):
        return shutil.copytree(tiny_directory, tmp_path / name)

    assert "nowhere" in evaluate(model="/nowhere/model")

    silent = copy("silent")
    for file in silent.glob("*token*"):
        file.unlink()
    for file in silent.glob("*.jinja"):
        file.unlink()
    assert "tokenizer" in evaluate(model=silent)

    untemplated = copy("untemplated")
    for file in untemplated.glob("*.jinja"):
        file.unlink()
    settings = json.loads((untemplated / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (untemplated / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "chat template" in evaluate(model=untemplated)

    unknown = copy("unknown")
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps({**config, "architectures": ["WhaleForCausalLM"], "model_type": "whale"}))
    assert "whale" in evaluate(model=unknown).lower()

    wrong = copy("wrong")
    tensors = load_file(wrong / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1]
    tensors["model.surprise"] = tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, wrong / "model.safetensors")
    error = evaluate(model=wrong)
    for word in ("model.norm.weight", "model.surprise", "layers.0.mlp.up_proj.weight"):
        assert word in error

    torn = copy("torn")
    content = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "model.safetensors" in evaluate(model=torn)

    (tmp_path / "torn.gguf").write_bytes(b"GGUF" + bytes(100))
    assert "torn.gguf" in evaluate(model=tmp_path / "torn.gguf")


def test_a_store_of_another_schema(evaluate, tmp_path):
    (tmp_path / "work").mkdir()
    with sqlite3.connect(tmp_path / "work" / "store.sqlite") as other:
        other.execute("CREATE TABLE entries (key, value)")
        other.execute("PRAGMA user_version=99")
    assert "schema 99" in evaluate()
    (tmp_path / "work" / "store.sqlite").write_text("no database at all, but a text of some length" * 100)
    assert "store.sqlite" in evaluate()


def test_settings(evaluate):
    assert "parallel" in evaluate(**{"devices.parallel": "threads"})
    assert "level" in evaluate(**{"statistics.level": 2.0})


def test_flags_and_folders(run, tmp_path):
    (tmp_path / "file").write_text("")
    for flags, said in (
        ((), "config"),
        (("--config=missing.py",), "missing.py"),
        ((CONFIG, "surprise"), "unknown argument"),
        ((CONFIG, "--config.surprise=1"), "surprise"),
        ((CONFIG, "--workdir=file/work"), "workdir"),
        ((CONFIG, "--workdir=/proc/nowhere"), "/proc/nowhere"),
        ((CONFIG, "--config.benchmark.source=missing.jsonl"), "missing.jsonl"),
    ):
        assert said in run("evaluate", *flags).error


def test_debug_shows_the_traceback(run):
    done = run("evaluate", CONFIG, "--config.benchmark.source=missing.jsonl", "--debug")
    assert done.code != 0
    assert "Traceback" in done.err


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_estimate_refuses_what_is_no_score_table(run, tmp_path, content):
    (tmp_path / "scores.npz").write_bytes(content)
    assert "scores.npz" in run("estimate", f"--config={ROOT}/configs/estimate.py", "--config.input=scores.npz").error
