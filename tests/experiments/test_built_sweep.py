"""The sweep of a benchmark: slices are built apart, on any launcher, each answer is paid for once, and they become one."""

import json

import pytest
import writer
from faulty_server import FaultyServer
from refusal import refusal
from scripts import load

from configs.sweeps import benchmark
from remid_jax.construction import pipeline
from remid_jax.dialogues.reading import read_benchmark

SWEEP = {"script": "sweep", "config": "sweeps.benchmark"}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(pipeline, "write_card", lambda *_: None)
    made = FaultyServer(content_of=writer.answer)
    yield made
    made.close()


@pytest.fixture
def changes(tmp_path, server):
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps({"it": {"base_url": server.base_url, "model": "m", "concurrency": 4}}))
    return {
        "seeds": (0, 1), "build.model": "endpoint:it", "build.endpoints": str(path), "build.categories": ("german",),
        "build.lineages": 2, "build.train_lineages": 1, "build.max_new": 64,
        "output": str(tmp_path / "index.json"), "page": str(tmp_path / "page.md"),
    }  # fmt: skip


def test_slices_are_built_apart_paid_for_once_and_joined(call, changes, server, tmp_path):
    for number in (1, 2):
        call(changes=changes | {"shard": f"{number}/2", "only": ("slice/*",)}, workdir="runs", **SWEEP)
    call(changes=changes | {"merge": True}, workdir="runs", **SWEEP)
    asked = len(server.paid)
    assert server.paid.total() == asked
    seeds = [body["seed"] for body in server.bodies]
    assert {seed: seeds.count(seed) for seed in seeds} == dict.fromkeys((0, 1), asked // 2)
    call(changes=changes, workdir="runs", **SWEEP)
    call(changes=changes, workdir="runs", **SWEEP)
    assert server.paid.total() == asked

    points = {name: done["summary"] for name, done in load(tmp_path / "index.json")["points"].items()}
    assert points["slice/seed0"]["records"] == points["slice/seed1"]["records"] == 5
    assert (points["whole"]["records"], points["whole"]["rejected"]) == (10, 0)
    whole = read_benchmark(tmp_path / "runs" / "whole" / "PDGBench.json")
    assert points["whole"]["fingerprint"] == whole.fingerprint
    assert [of.id for of in whole.test["german"]] == [f"seed{seed}/german-{number}-1" for seed in (0, 1) for number in (1, 2)]
    assert "| whole | 10 | 0 | 2 | 4 | 4 |" in (tmp_path / "page.md").read_text()


def test_the_config_says_its_command_and_wants_seeds():
    config = benchmark.get_config()
    assert f"\n    {benchmark.COMMAND}\n" in benchmark.__doc__
    assert [point.name for point in config.sweep(config).points] == [*(f"slice/seed{seed}" for seed in range(4)), "whole"]
    config.seeds = (1, 1)
    assert refusal(config.sweep, config) == "config.seeds=(1, 1): name at least one, and none twice"
