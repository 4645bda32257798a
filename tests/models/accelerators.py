"""Platforms for which programs can be lowered without a device, and what calls of their kernels are named."""

import importlib.util

import jaxlib.version
import pytest

# Newer versions compile kernels for GPUs as they lower them, with what CUDA's plugin brings.
COMPILES_LATER = jaxlib.version.__version_info__ <= (0, 10, 2)
HAS_CUDA = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))
NAMES = [("tpu", "tpu_custom_call"), *([("cuda", "triton")] if COMPILES_LATER or HAS_CUDA else [])]
PLATFORMS = pytest.mark.parametrize(("platform", "kernel"), NAMES)
