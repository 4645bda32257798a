"""TRL's part of `benchmarks.grpo`, in TRL's own environment: grpo_worker.py TASK.json SECONDS.json."""

import json
import re
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def resident(field):
    return int(re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1]) / 1024


class Clock(TrainerCallback):
    """Times steps; `memory` is the most that steps after the first took, MiB above what was held before the first."""

    def __init__(self):
        self.seconds, self.began, self.before = [], 0.0, None

    def on_step_begin(self, *_, **__):
        if self.before is None:
            self.before = resident("VmRSS")
        self.began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.began)
        self.memory = resident("VmHWM") - self.before
        if len(self.seconds) == 1:
            Path("/proc/self/clear_refs").write_text("5")


def distinct(completions, **_):
    return [len(set(text.split())) / max(len(text.split()), 1) for text in completions]


def main(task, seconds):
    with open(task) as file:
        asked = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    lengths = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in asked["prompts"]]
    print(f"TRL reads prompts of {', '.join(map(str, lengths))} tokens on {torch.get_num_threads()} threads")
    count = len(asked["prompts"]) * asked["draws"]
    config = GRPOConfig(
        output_dir=f"{seconds}.trl", use_cpu=True, bf16=False, per_device_train_batch_size=count,
        num_generations=asked["draws"], max_completion_length=asked["new"], max_steps=asked["steps"],
        learning_rate=asked["rate"], beta=0.0, temperature=1.0, gradient_checkpointing=False, report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
        generation_kwargs={"min_new_tokens": asked["new"]},
    )  # fmt: skip
    lora = LoraConfig(r=asked["rank"], lora_alpha=asked["alpha"], target_modules=TARGETS, task_type="CAUSAL_LM")
    clock = Clock()
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(asked["model"], dtype=torch.float32), reward_funcs=distinct, args=config,
        train_dataset=Dataset.from_list([{"prompt": text} for text in asked["prompts"]]), processing_class=tokenizer,
        peft_config=lora, callbacks=[clock],
    )  # fmt: skip
    trainer.train()
    with open(seconds, "w") as file:
        json.dump({"seconds": clock.seconds, "memory": clock.memory}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
