"""Does co-evolving improve the estimate beyond ordinary RL? Six arms of CoRL, three seeds, cross-fitted, measured alike.

    python -m experiments.ablation --config=configs/ablation.py

Every arm after the cold start has 32 steps of GRPO and 16 of SFT, or as many tokens of SFT alone. Not run by us on SmolLM2: an
arm and seed should take an hour or more on two cores. Kill it whenever you like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import corl_quickstart, quickstart


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/ablation"
    config.output = "docs/ablation.json"
    config.seeds = (0, 1, 2)
    config.reference = "cold_start"  # the arm that the others are compared with

    cold = (("cold_reasoner", 8), ("cold_responder", 8))
    turn = (("reasoner_grpo", 8), ("responder_refit", 8), ("responder_grpo", 8))
    config.arms = ConfigDict()
    # A step of GRPO trains on about a third of the tokens of a step of SFT: 32 of them are 11 of SFT.
    config.arms.no_reasoning = (("plain_responder", 43),)
    config.arms.cold_start = (*cold, ("responder_refit", 27))
    config.arms.reasoner_only = (*cold, ("reasoner_grpo", 32), ("responder_refit", 16))
    config.arms.responder_only = (*cold, ("responder_refit", 16), ("responder_grpo", 32))
    config.arms.without_alternating = (*cold, ("reasoner_grpo", 16), ("responder_refit", 16), ("responder_grpo", 16))
    config.arms.corl = (*cold, *turn, *turn)

    config.corl = corl_quickstart.get_config()
    config.evaluate = quickstart.get_config()  # of the fixed policies, under each arm's estimator
    config.evaluate.policy.self_samples = 0
    return config
