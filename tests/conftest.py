"""For all tests: repeatable draws, compiled programs kept between processes, shapes and types checked as the tests run."""

import os
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook
from tiny_models import ending_directory as ending_directory  # fixtures of all tests
from tiny_models import few_records as few_records
from tiny_models import tiny_directory as tiny_directory

KERNELS = (
    "information",
    "shifts",
    "theory",
    "learning.losses",
    "models.lora",
    "models.decoder",
    "models.rope",
    "models.sampling",
    "scoring.kernel",
)

# One thread a library: the workers of `pytest -n 2` are as many as the cores, and waiting threads burn what others need.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")
install_import_hook([f"remid_jax.{module}" for module in KERNELS], "beartype.beartype").__enter__()


@pytest.fixture(autouse=True, scope="module")
def _let_compiled_programs_go():
    """Every compiled program holds memory maps, of which Linux gives a process 65,530: all tests together need more."""
    yield
    if len(Path("/proc/self/maps").read_bytes().splitlines()) > 30_000:
        import jax  # not above: tests/devices choose the devices first

        jax.clear_caches()
