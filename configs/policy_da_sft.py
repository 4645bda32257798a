"""SFT on augmented data (DA-SFT): each earlier turn of the agent is a golden reply, too, under a character whose fields
stand in another order.

    python -m experiments.train --config=configs/policy_da_sft.py

TIME
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_da_sft"
    config.augment = True
    return config
