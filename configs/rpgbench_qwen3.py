"""R-EMID at full size: RPGBench's own file, Qwen3-8B in bfloat16, over a mesh.

    python -m experiments.evaluate --config=configs/rpgbench_qwen3.py --config.benchmark.source=PDGBench.json

Weights come from the hub (or its offline cache). `mesh_model` splits each parameter over that many devices; the rest of the
devices split the batch. 64 records a category give 4,032 mismatched pairs, four times the paper's 1,000. Not yet timed by us:
written for 8 x 80 GB GPUs or a TPU v5e-16.
"""

from ml_collections import ConfigDict

from configs import quickstart_full


def get_config() -> ConfigDict:
    config = quickstart_full.get_config()
    config.workdir = "runs/rpgbench_qwen3"
    config.benchmark.source = "PDGBench.json"
    config.benchmark.records = 64
    config.estimator.model = config.policy.model = "Qwen/Qwen3-8B"
    config.estimator.adapters = None  # of configs/corl_qwen3_8b.py, once you have trained them
    config.estimator.dtype = config.policy.dtype = "bfloat16"
    config.policy.self_samples = 4
    config.devices.mesh_model = 4
    config.devices.tokens_per_step = 32_768
    config.devices.max_row = 8192
    config.devices.sampling_rows = 128
    return config
