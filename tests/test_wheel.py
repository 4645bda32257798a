"""The wheel holds all that a user needs and nothing beside the package; its commands start where there is no clone."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSIDE = {"remid_jax": "remid_jax", "experiments": "remid_jax/experiments", "configs": "remid_jax/configs"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's files as they are installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_every_file_of_the_package_is_in_it_and_nothing_else(installed):
    sources = {f"{inside}/{name}": ROOT / folder / name for folder, inside in INSIDE.items() for name in names(ROOT / folder)}
    found = {name for name in names(installed) if ".dist-info/" not in name}
    assert found == set(sources)
    for name, source in sources.items():
        assert (installed / name).read_bytes() == source.read_bytes(), name
    assert {path.suffix for path in installed.iterdir() if path.name != "remid_jax"} == {".dist-info"}


def test_every_command_names_a_function_that_exists(installed):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    written = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert dict(re.findall(r"^(\S+) = (\S+)$", written, re.M)) == scripts
    for name, target in scripts.items():
        module, function = target.split(":")
        tree = ast.parse((installed / f"{module.replace('.', '/')}.py").read_text())
        assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)], name


PROGRAM = """
import sys
from remid_jax.experiments import cli

def main(config, workdir):
    files = [cli.__file__, sys.modules["configs"].__file__ or sys.modules["configs"].__path__[0]]
    print(config.method, config.workdir, *files, sep="\\n")

cli.run(main)
"""


def test_a_config_that_begins_from_another_loads_without_a_clone(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", PROGRAM, "--config=configs/policy_dpo.py", "--config.seed=3"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    method, workdir, cli, configs = ended.stdout.splitlines()
    assert (method, workdir) == ("dpo", "runs/policy_dpo")
    assert cli == str(installed / "remid_jax/experiments/cli.py")
    assert configs.startswith(str(installed / "remid_jax/configs"))


def test_a_script_starts_without_a_clone(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "remid_jax.experiments.score", f"--workdir={tmp_path / 'work'}"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (2, "error: config.model is not set: give --config.model=...\n")
