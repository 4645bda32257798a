"""Does co-evolving improve the estimate beyond ordinary RL? Six arms of CoRL, three seeds, cross-fitted, measured alike.

    python -m experiments.ablation --config=configs/ablation.py

Every arm after the cold start has 32 steps of GRPO and 16 of SFT, or SFT alone of about as many tokens. On SmolLM2 an arm and
seed takes 40 to 70 minutes on two cores, half of it training, so all 18 some 18 hours; docs/ablation.md says which we have run.
A small world, where the error of R-EMID is known, comes first, at one or two minutes an arm and seed. Kill it whenever you
like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import corl_quickstart, quickstart


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/ablation"
    config.output = "docs/ablation.json"
    config.page = "docs/ablation.md"
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
    config.world = world()
    return config


def world() -> ConfigDict:
    """The same arms on remid_jax/synthetic/reasoned_world.py, with a model so small that it needs, and affords, more steps.

    Two arms more ask why CoRL fares as it does: one ends each turn with the re-fit, one is held near where each phase began.
    """
    config = ConfigDict()
    config.records = 1024  # drawn anew for every seed; an estimator sees them all, and is measured on the whole population

    cold = (("cold_reasoner", 96), ("cold_responder", 96))
    reasoner, refit, responder = (("reasoner_grpo", 96), ("responder_refit", 96), ("responder_grpo", 96))
    config.arms = ConfigDict()
    # SFT makes up for what GRPO's completions lack: every arm trains on about 558,000 tokens.
    config.arms.no_reasoning = (("plain_responder", 875),)
    config.arms.cold_start = (*cold, ("responder_refit", 589))
    config.arms.reasoner_only = (*cold, ("reasoner_grpo", 384), ("responder_refit", 144))
    config.arms.responder_only = (*cold, ("responder_refit", 258), ("responder_grpo", 384))
    config.arms.without_alternating = (*cold, ("reasoner_grpo", 192), ("responder_refit", 192), ("responder_grpo", 192))
    config.arms.corl = (*cold, *(reasoner, refit, responder) * 2)
    config.arms.corl_refit_last = (*cold, *(reasoner, responder, refit) * 2)
    config.arms.corl_penalised = config.arms.corl
    config.losses = ConfigDict()  # what an arm's GRPO does otherwise
    # The weight was chosen on seed 9, where 0.04 changes little.
    config.losses.corl_penalised = ConfigDict({"penalty": "k3_ratio", "penalty_weight": 0.3})

    config.base = ConfigDict({"steps": 1500, "batch": 32, "learning_rate": 3e-3, "seed": 0})

    corl = corl_quickstart.get_config()
    corl.protocol = "in_sample"
    corl.save_every = 1000  # and at the end of every phase
    corl.show_every = 32
    corl.max_reasoning = corl.max_reply = 8
    corl.draws, corl.prompts_per_step, corl.batch = 8, 16, 32
    corl.reward_settings.reasoner.length.enough = 2
    corl.lora.rank, corl.lora.alpha = 16, 32.0
    corl.sft.learning_rate, corl.sft.clip = 3e-3, 1.0
    corl.grpo.learning_rate, corl.grpo.clip = 7.5e-4, 1.0
    corl.devices.sampling_rows = 128
    config.corl = corl
    return config
