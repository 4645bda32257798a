"""Answers have torch's log-likelihoods, from text to nats, whatever the tokenizer, the config and the weight files."""

import pytest
import torch
from conformance import variants
from conformance.comparison import LIMIT, worst_gap
from conformance.templates import TEMPLATES
from conformance.tokenizer_folders import TOKENIZERS
from conformance.weight_files import CONFIGS, WEIGHTS, fits

SCORED = variants.cover()[: len(TOKENIZERS)]


@pytest.fixture(autouse=True, scope="module")
def _one_torch_thread():
    """Idle torch threads spin, and would slow down JAX's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("variant", SCORED, ids=", ".join)
def test_logliks_are_those_of_torch(variant, tmp_path):
    folder = variants.write(tmp_path / "model", variant)
    assert worst_gap(folder, tmp_path / "store.sqlite") < LIMIT


def test_the_scored_variants_hold_every_value_and_every_model_in_all_its_files():
    values = [set(axis) for axis in zip(*SCORED, strict=True)]
    assert values[:2] == [set(TOKENIZERS), set(TEMPLATES)]
    models = {(config, files) for config in CONFIGS for files in WEIGHTS if fits(config, files)}
    assert {(variant.config, variant.weights) for variant in SCORED} == models
