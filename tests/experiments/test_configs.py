"""Every config loads, can be saved, and opens with the command that uses it."""

import importlib
import json

import pytest
from scripts import ROOT

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_config_says_its_command_and_can_be_saved(name):
    module = importlib.import_module(f"configs.{name}")
    # A script without --config takes the config that is named like it.
    assert any(command in module.__doc__ for command in (f"--config=configs/{name}.py", f"python -m experiments.{name}"))
    assert json.loads(module.get_config().to_json())


def test_evaluations_differ_in_values_only():
    quickstart, *others = (
        json.loads(importlib.import_module(f"configs.{name}").get_config().to_json())
        for name in ("quickstart", "quickstart_full", "rpgbench_qwen3")
    )
    for other in others:
        assert names(other) == names(quickstart)
    assert quickstart["max_prompt"] == 640
    assert (quickstart["estimator"]["max_reasoning"], quickstart["policy"]["max_reply"]) == (64, 40)


def names(config):
    return {name: names(value) if isinstance(value, dict) else None for name, value in config.items()}
