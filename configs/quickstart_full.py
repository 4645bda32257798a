"""The quickstart at the paper's lengths and without a time limit.

    python -m experiments.evaluate --config=configs/quickstart_full.py

Reasoning up to 2,048 new tokens, replies up to 256, eight self samples a context; not timed by us.
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
    config = quickstart.get_config()
    config.workdir = "runs/quickstart_full"
    config.estimator.plain = None
    config.max_prompt = 3072
    config.estimator.max_reasoning = 2048
    config.policy.max_reply = 256
    config.policy.self_samples = 8
    config.devices.max_row = 4096
    return config
