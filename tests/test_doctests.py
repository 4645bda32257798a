"""The examples in docstrings say what is."""

import doctest
import importlib

import pytest

MODULES = (
    "dialogues.languages", "dialogues.parsing", "dialogues.records", "dialogues.thoughts", "progress",
    "sweeps.combinations", "theory.divergences",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(f"remid_jax.{name}"))
    assert tried > 0
    assert failed == 0
