"""DPO from an SFT adapter: golden replies preferred to one drawn reply of the policy as it starts, which is the reference, too.

    python -m experiments.train --config=configs/policy_dpo.py --config.adapter=runs/policy_sft/adapter

TIME
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_dpo"
    config.method = "dpo"
    config.optimizer.learning_rate = 5e-6
    return config
