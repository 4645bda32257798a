"""`experiments.train` from end to end on a tiny chat model: what it writes, how it stops, what it refuses."""

import json
import signal
import time

import numpy as np
import pytest
from scripts import ROOT

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark, read_training
from remid_jax.dialogues.records import write_jsonl
from remid_jax.learning.feed import Feed
from remid_jax.learning.policies import golden_examples
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store

CONFIG = f"--config={ROOT}/configs/policy_sft.py"
SMALL = {"steps": 6, "batch": 2, "save_every": 1, "optimizer.learning_rate": 0.02, "max_prompt": 2000}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "train.jsonl"
    write_jsonl(path, read_benchmark("package:rpgbench_compact").train[:4])
    return path


@pytest.fixture
def settings(tiny_directory, records):
    return {"model": str(tiny_directory), "benchmark.source": str(records)} | SMALL


@pytest.fixture
def flags(settings):
    return (CONFIG, *(f"--config.{name}={value}" for name, value in settings.items()))


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def golden_nll(model, records):
    """Negative log-likelihood of every golden reply, nats, and its tokens."""
    examples = golden_examples(read_training(records), Prompts.load(), model.tokenizer)
    scores = ScoringEngine(model, Devices(), Store(":memory:"), 2048, 2048).score([of.request() for of in examples])
    return np.array([(-float(row.sum()), len(row)) for [row] in scores])


def test_it_trains_and_stops_and_goes_on(drawn_figures, call, refused, run, tmp_path, flags, settings, tiny_directory, records):
    """Only the run that is to be stopped is a process of its own."""
    call("train", settings, "whole", "policy_sft")
    found, model = rows(tmp_path / "whole"), open_model(str(tiny_directory), "float32")
    assert [row["step"] for row in found] == list(range(6))
    before = golden_nll(model, records)
    first = before[next(Feed(4, 2, 0))]
    assert found[0]["loss"] == pytest.approx(first[:, 0].sum() / first[:, 1].sum(), rel=1e-5)
    after = golden_nll(adapted(model, read_adapter(tmp_path / "whole" / "adapter", model)), records)
    assert np.all(after[:, 0] < 0.97 * before[:, 0])

    process = run.start("train", *flags, "--workdir=stopped")
    while not (tmp_path / "stopped" / "times.jsonl").is_file() or not (tmp_path / "stopped" / "checkpoints" / "1").is_dir():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert "saved: run the same command again to go on" in err
    assert not (tmp_path / "stopped" / "adapter").exists()
    call("train", settings, "stopped", "policy_sft")
    assert rows(tmp_path / "stopped") == found
    ours, theirs = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("whole", "stopped"))
    assert ours.read_bytes() == theirs.read_bytes()

    again = refused("train", settings | {"optimizer.learning_rate": 0.01}, "whole", "policy_sft")
    assert "this workdir holds a run that differs in optimizer.learning_rate (0.02 -> 0.01): use" in again


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 5}, "4 of 4 IDTrain records fit config.max_prompt=2000 and config.max_answer=256, fewer than"),
        ({"max_answer": 3}, "0 of 4 IDTrain records fit"),
        ({"lora.targets": ("query", "o_proj")}, "config.lora: targets o_proj do not exist: choose among query, key"),
        ({"lora.dropout": 1.5}, "config.lora.dropout=1.5: must be a number from 0 and below 1"),
        ({"adapter": "nowhere"}, "nowhere/adapter_config.json: cannot be read"),
        ({"optimizer.schedule": "linear"}, "config.optimizer.schedule='linear': choose one of constant, cosine"),
        ({"method": "ppo"}, "config.method='ppo': choose one of sft"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(refused, tiny_directory, records, changes, said):
    given = {"model": str(tiny_directory), "benchmark.source": str(records), "batch": 2, "max_prompt": 2000}
    assert said in refused("train", given | changes, config="policy_sft")
