"""These tests run in a process of their own, on eight simulated devices: `pytest tests/devices`."""

import os
import sys

import pytest

if "jax" in sys.modules:
    raise pytest.UsageError("tests/devices must run alone: pytest tests/devices")
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
# A device that waits for others in several sums at once holds a thread for each. By default there is one thread a device, and
# where all of them wait for devices that have none, XLA ends the process after 40 seconds.
os.environ["NPROC"] = "32"
