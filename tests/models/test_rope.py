"""Frequencies of rotary embeddings against torch's own arithmetic."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from remid_jax.models.config import Rope
from remid_jax.models.rope import frequencies

LAST = 2047  # a position whose angles, in float32, have roundings of 1e-4


@pytest.mark.parametrize(
    ("theta", "size"), [(1e4, 64), (1e4, 80), (1e4, 256), (1e5, 64), (5e5, 64), (5e5, 128), (1e6, 128), (1e6, 256), (5e6, 128)]
)
def test_far_tokens_are_turned_as_in_torch(theta, size):
    torchs = 1.0 / (theta ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size))
    found = frequencies(Rope(theta), size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(LAST * found, LAST * torchs.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "scaling", "ours"),
    [
        (32, {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
         Rope(1e4, "llama3", 8.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_positions=64)),
        (128, {"rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
         Rope(1e4, "llama3", 4.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_positions=256)),
        (64, {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}, Rope(1e4, "yarn", 4.0, original_positions=128)),
        (80, {"rope_type": "yarn", "rope_theta": 1e4, "factor": 16.0}, Rope(1e4, "yarn", 16.0, original_positions=256)),
    ],
)  # fmt: skip
def test_stretched_frequencies_have_torchs_roundings(size, scaling, ours):
    rope = scaling | {"original_max_position_embeddings": ours.original_positions}
    config = LlamaConfig(head_dim=size, max_position_embeddings=4096, rope_parameters=rope)
    torchs, _ = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
    found = frequencies(ours, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(LAST * found, LAST * torchs.numpy(), rtol=0, atol=1e-5)
