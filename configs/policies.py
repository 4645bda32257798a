"""R-EMID of every policy: eight ways of learning and the base, on SmolLM2-135M-Instruct, measured by the trained estimator.

    python -m experiments.policies --config=configs/policies.py

Every policy that learns from its own replies begins from the adapter of SFT (ThinkingGRPO: of ThinkingSFT). Steps are few, so
that a laptop gets through it: about four hours on two cores. Kill it whenever you like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import (
    policy_da_sft,
    policy_dpo,
    policy_grpo,
    policy_mi_grpo,
    policy_rft,
    policy_sft,
    policy_thinking_grpo,
    policy_thinking_sft,
    quickstart,
)

SUPERVISED = {"steps": 32, "batch": 4, "learning_rate": 1e-3}
PREFERRED = {"steps": 16, "batch": 4, "learning_rate": 1e-4}
RELATIVE = {"steps": 8, "batch": 2, "learning_rate": 1e-4}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/policies"
    config.output = "docs/policies.json"
    config.page = "docs/policies.md"
    config.policies = ("base", "sft", "da_sft", "dpo", "rft", "grpo", "mi_grpo", "thinking_sft", "thinking_grpo")
    # Where a policy begins; the others from a fresh adapter.
    config.begins = ConfigDict({"dpo": "sft", "rft": "sft", "grpo": "sft", "mi_grpo": "sft", "thinking_grpo": "thinking_sft"})
    config.max_thinking = 192  # new tokens of a policy that reasons, its reply with them

    config.train = ConfigDict()
    for name, module, few in (
        ("sft", policy_sft, SUPERVISED),
        ("da_sft", policy_da_sft, SUPERVISED),
        ("dpo", policy_dpo, PREFERRED),
        ("rft", policy_rft, PREFERRED),
        ("grpo", policy_grpo, RELATIVE),
        ("mi_grpo", policy_mi_grpo, RELATIVE),
        ("thinking_sft", policy_thinking_sft, SUPERVISED),
        ("thinking_grpo", policy_thinking_grpo, RELATIVE),
    ):
        of = module.get_config()
        of.steps, of.batch, of.optimizer.learning_rate = few["steps"], few["batch"], few["learning_rate"]
        of.rollouts.draws = 4
        of.rollouts.max_new = min(of.rollouts.max_new, config.max_thinking)
        config.train[name] = of

    config.evaluate = quickstart.get_config()
    config.evaluate.policy.self_samples = 0
    return config
