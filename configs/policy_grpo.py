"""GRPO from an SFT adapter: eight replies a prompt, rewarded by the judge (the base without adapter) beside the golden reply.

    python -m experiments.train --config=configs/policy_grpo.py --config.adapter=runs/policy_sft/adapter

With config.reasoning, the judge is told the core features of a good reply. TIME
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_grpo"
    config.method = "grpo"
    config.batch = 2
    config.optimizer.learning_rate = 1e-5
    return config
