"""SFT of a policy that writes role-aware reasoning before its reply (ThinkingSFT).

    python -m experiments.train --config=configs/policy_thinking_sft.py

The reasoning it learns is config.reasoning. Evaluate the adapter with --config.policy.thinking=True and
--config.policy.max_reply=512. TIME
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_thinking_sft"
    config.thinking = True
    config.reasoning = "package:rpgbench_compact"
    config.max_answer = 512
    return config
