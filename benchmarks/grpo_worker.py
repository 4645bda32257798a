"""TRL's part of `benchmarks.grpo`, in TRL's own environment: grpo_worker.py TASK.json SECONDS.json."""

import json
import sys
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock(TrainerCallback):
    def __init__(self):
        self.seconds, self.began = [], 0.0

    def on_step_begin(self, *_, **__):
        self.began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.began)


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
        json.dump(clock.seconds, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
