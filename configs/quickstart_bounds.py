"""The quickstart with replies long enough to end, four samples a context, and so bounds on self EMID, attribution and risk.

python -m experiments.evaluate --config=configs/quickstart_bounds.py
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
    config = quickstart.get_config()
    config.workdir = "runs/quickstart_bounds"
    config.policy.max_reply = 384
    config.policy.self_samples = 4
    return config
