"""Frequencies of rotary embeddings against torch's own arithmetic."""

import numpy as np
import pytest
import torch

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
