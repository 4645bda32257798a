"""These tests run in a process of their own, on eight simulated devices: `pytest tests/devices`."""

import os
import sys

import pytest

if "jax" in sys.modules:
    raise pytest.UsageError("tests/devices must run alone: pytest tests/devices")
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
