"""GRPO (see policy_grpo.py) that also rewards what a reply tells of its context, by the likelihoods of a frozen estimator.

    python -m experiments.train --config=configs/policy_mi_grpo.py --config.adapter=runs/policy_sft/adapter

The estimator is config.estimator, by default the base. TIME
"""

from ml_collections import ConfigDict

from configs import policy_grpo


def get_config() -> ConfigDict:
    config = policy_grpo.get_config()
    config.workdir = "runs/policy_mi_grpo"
    config.rewards = ConfigDict({"judge_ratio": 1.0, "pointwise_information": 1.0})
    config.reward_settings = ConfigDict({"pointwise_information": {"others": 4}})
    return config
