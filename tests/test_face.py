"""The public face: importing it costs nothing, and every name of it leads somewhere."""

import subprocess
import sys

import pytest

import remid_jax


def test_importing_loads_nothing_heavy():
    program = "import sys, remid_jax; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "remid_jax" in loaded
    assert not {"jax", "flax", "numpy", "transformers", "torch", "pyarrow", "matplotlib", "rich"} & set(loaded)


def test_every_public_name_is_what_its_home_defines():
    assert remid_jax.__all__ == sorted(remid_jax.__all__)
    for name in remid_jax.__all__:
        found = getattr(remid_jax, name)
        assert (found.__name__, found.__module__.partition(".")[0]) == (name, "remid_jax")
        assert found.__doc__
        assert name in dir(remid_jax)


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'remid_jax' has no attribute 'evaluation_of'"):
        _ = remid_jax.evaluation_of
