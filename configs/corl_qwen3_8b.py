"""CoRL at full size: Qwen3-8B, the paper's hyperparameters (docs/metric.md, section 5), the estimator of iteration 2.

    python -m experiments.corl --config=configs/corl_qwen3_8b.py

PDGBench.json and TEACHER.jsonl, {"sample_ID", "reasoning"} a line, are yours to bring. Needs accelerators: 16 GB of
weights in bfloat16, split over `mesh_model` devices. Not run by us.
"""

from ml_collections import ConfigDict

from configs import corl_quickstart


def get_config() -> ConfigDict:
    config = corl_quickstart.get_config()
    config.workdir = "runs/corl_qwen3_8b"
    config.model = "Qwen/Qwen3-8B"
    config.dtype = "bfloat16"
    config.max_prompt = 3072
    config.save_every = 10
    config.show_every = 10
    config.benchmark.source = "PDGBench.json"
    config.teacher.reasoning = "TEACHER.jsonl"
    config.teacher.max_reasoning = 2048

    # 1,000 records an epoch: SFT in 3 epochs of batches of 64, GRPO in one epoch of 8 prompts a step.
    sft, grpo = 3 * 1000 // 64, 1000 // 8
    iteration = (("reasoner_grpo", grpo), ("responder_refit", sft), ("responder_grpo", grpo))
    config.schedule = (("cold_reasoner", sft), ("cold_responder", sft), *iteration, *iteration)
    config.max_reasoning = 2048
    config.max_reply = 256
    config.draws = 8
    config.prompts_per_step = 8
    config.batch = 64

    config.rewards.reasoner.length = config.rewards.reasoner.likelihood = 1.0
    config.reward_settings.reasoner.length.enough = 600
    config.lora.rank = 16
    config.lora.alpha = 32.0
    config.lora.dropout = 0.05
    config.sft.learning_rate = 2e-4
    config.sft.warmup = 0.03
    config.sft.clip = 0.3
    config.grpo.learning_rate = 1e-5

    config.devices.mesh_model = 4
    config.devices.tokens_per_step = 32768
    config.devices.max_row = 8192
    config.devices.sampling_rows = 64
    return config
