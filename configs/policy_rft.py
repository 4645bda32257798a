"""SFT on the best of eight drawn replies a prompt (rejection sampling), as the judge rewards them, from an SFT adapter.

    python -m experiments.train --config=configs/policy_rft.py --config.adapter=runs/policy_sft/adapter

TIME
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_rft"
    config.method = "rft"
    return config
