"""GRPO of a policy that reasons before its reply (ThinkingGRPO), from a ThinkingSFT adapter: the judge reads the reply alone,
and a reply that is closed by its tag is rewarded for it.

    python -m experiments.train --config=configs/policy_thinking_grpo.py --config.adapter=runs/policy_thinking_sft/adapter

TIME
"""

from ml_collections import ConfigDict

from configs import policy_grpo


def get_config() -> ConfigDict:
    config = policy_grpo.get_config()
    config.workdir = "runs/policy_thinking_grpo"
    config.thinking = True
    config.rollouts.max_new = 512
    config.rewards = ConfigDict({"judge_ratio": 1.0, "format": 1.0})
    config.reward_settings = ConfigDict({"format": {"header": "</Agent Response>"}})
    return config
