"""A benchmark built in slices side by side, each a point with a seed of its own, and joined: for more than one machine asks.

    python -m experiments.sweep --config=configs/sweeps/benchmark.py

Whoever writes is named as --config.build.model=endpoint:NAME --config.build.endpoints=FILE.json (docs/construction.md). Points
of one endpoint that run side by side each ask with its concurrency, and each has its own cap. Where two slices cast one
character, what is made of it is one lineage; the gates of the split and of duplicates are asked again of all records together.
In shards: --config.only="('slice/*',)" and then, merged, this.
"""

from ml_collections import ConfigDict

from configs import build_benchmark
from remid_jax.errors import UserError
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/benchmark.py"
COLUMNS = (
    Selector("records", "build.records", meaning="that passed the gates"),
    Selector("rejected", "build.rejected", meaning="by gates"),
    Selector("*", "build.categories.*.kept", meaning="records of *"),
)


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/benchmark_slices"
    config.output = "runs/benchmark_slices/index.json"  # what is done, and every number
    config.page = "runs/benchmark_slices/page.md"
    config.seeds = (0, 1, 2, 3)  # one a slice
    config.build = build_benchmark.get_config()  # of each slice
    return config


def sweep(config: ConfigDict) -> Sweep:
    """A point builds a slice; the last one joins them. The benchmark is `whole/` of the workdir."""
    if len(set(config.seeds)) < len(config.seeds) or not config.seeds:
        raise UserError(f"config.seeds={tuple(config.seeds)}: name at least one, and none twice")
    slices = {f"seed{seed}": Point(f"slice/seed{seed}", "build_benchmark", config.build.to_dict() | {"seed": seed})
              for seed in config.seeds}  # fmt: skip
    folders = {name: output(point.name, "") for name, point in slices.items()}
    whole = Point("whole", "join_benchmarks", {"slices": folders}, tuple(point.name for point in slices.values()))
    lines = [Line(name, [{"build": point.name}]) for name, point in {**slices, whole.name: whole}.items()]
    return Sweep(
        "A benchmark in slices", COMMAND, [*slices.values(), whole], [Layout("What was built", "slice", lines, COLUMNS)]
    )
