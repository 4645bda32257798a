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
    "scoring.head",
    "scoring.kernel",
)

# One thread a library: the workers of `pytest -n 2` are as many as the cores, and waiting threads burn what others need.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Compiling is most of what tests do, so programs are little optimised: `XLA_FLAGS= JAX_DISABLE_MOST_OPTIMIZATIONS=0 make test`
# tests what users run. XLA reads no flag behind a word that does not begin with a dash.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=1",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("XLA_FLAGS", " ".join(("--xla_cpu_multi_thread_eigen=false", *QUICK_TO_COMPILE)))
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # level 0 but for tests that ask for `optimised_programs`
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


@pytest.fixture(scope="module")
def optimised_programs():
    """For a module that runs its programs longer than it compiles them; no other module may share these programs."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
