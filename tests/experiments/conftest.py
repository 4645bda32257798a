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
from remid_jax.reporting import drawing


@pytest.fixture(autouse=True)
def _figures_made_but_not_drawn(request, monkeypatch):
    """Figures are built, but drawn only for tests with `drawn_figures`: a second each, and tests/reporting draws them."""
    if "drawn_figures" not in request.fixturenames:
        monkeypatch.setattr(drawing, "svg_bytes", lambda figure: b"<svg></svg>")
        monkeypatch.setattr(drawing, "png_bytes", lambda figure: b"")


@pytest.fixture
def drawn_figures():
    """Asks for the true figures of the pages that `call` writes."""


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
