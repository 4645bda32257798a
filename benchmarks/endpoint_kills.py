"""SIGKILL of a judge behind an endpoint at seeded moments, its server failing all the while: what is lost, what is paid twice.

    python -m benchmarks.endpoint_kills --kills=10

The server is tests/endpoints/faulty_server.py: of the first tries a third fails by 429 with Retry-After, 500, cut or broken
answers, answers of another form, and silence. Whoever is killed is started again, plainly, until its files are there. Prints a
line of JSON: requests, which the server tells apart by their Idempotency-Key; how many it answered more than once, of which
each must have been under way at a kill; how many were asked again though their replies were in the store; whether files are
those of a run that was left alone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

KILLS = flags.DEFINE_integer("kills", 10, "How often.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of moments and faults.")
ROOT = Path(__file__).parents[1]
CONCURRENCY, CONTEXTS = 8, 40
SYSTEMS = ("a", "b")
FAULTS = ((429, "0.1"), 500, "cut", "broken", "other", "timeout")
FAILING = 1 / 3  # of first tries
TAKES = 0.03  # seconds of an answer
TIMEOUT = 2.0
LATEST = 0.8  # seconds after its first request at which a run is killed
FILES = ("judge.json", "judged.jsonl")
sys.path.insert(0, str(ROOT / "tests" / "endpoints"))
FaultyServer = importlib.import_module("faulty_server").FaultyServer


def main(_: Sequence[str]) -> None:
    server = FaultyServer(faults, content_of=answer)
    try:
        with tempfile.TemporaryDirectory() as name:
            found = killed(server, Path(name))
    finally:
        server.close()
    print(json.dumps(found))
    wrong = found["asked_again_though_stored"] or found["unequal_files"] or found["half_written"]
    if wrong or found["answered_again"] > KILLS.value * CONCURRENCY:
        sys.exit(1)


def killed(server: Any, folder: Path) -> dict[str, int]:
    """Runs judges until there were enough kills; a new one begins when one has written its files."""
    prepare(server, folder)
    start(folder, "whole").wait()
    expected = {name: (folder / "whole" / name).read_bytes() for name in FILES}
    requests = len(server.paid)
    moments, kills, runs = random.Random(SEED.value), 0, 0
    answered_again = stored_again = unequal = half = tries = 0
    while kills < KILLS.value:
        server.tries.clear()
        server.paid.clear()
        runs, work = runs + 1, folder / f"killed{runs}"
        stored: dict[str, int] = {}
        while not (work / FILES[0]).is_file():
            process, before = start(folder, work.name), server.tries.total()
            while process.poll() is None and server.tries.total() == before:
                time.sleep(0.002)
            if kills < KILLS.value:
                time.sleep(moments.uniform(0, LATEST))
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
                    kills += 1
            if process.wait() > 0:
                raise SystemExit(f"the judge ended with status {process.returncode}")
            time.sleep(2 * TAKES)  # answers that are under way reach nobody
            stored |= {key: server.tries[key] for key in keys_in(work / "store.sqlite") if key not in stored}
        tries += server.tries.total()
        answered_again += server.paid.total() - requests
        stored_again += sum(server.tries[key] > count for key, count in stored.items())
        unequal += sum((work / name).read_bytes() != content for name, content in expected.items())
        half += len([*work.rglob("*.part")])
        assert set(server.paid) >= set(stored)
        assert len(server.paid) == requests
    return {
        "kills": kills, "runs": runs, "requests": requests * runs, "tries": tries, "answered_again": answered_again,
        "asked_again_though_stored": stored_again, "unequal_files": unequal, "half_written": half,
    }  # fmt: skip


def prepare(server: Any, folder: Path) -> None:
    """Writes the replies that are judged, and who judges them."""
    rows = [
        {"context_id": str(n), "messages": [{"role": "user", "content": f"Question {n}?"}], "system": system,
         "reply": f"Answer {n} of {system}."}
        for n in range(CONTEXTS)
        for system in SYSTEMS
    ]  # fmt: skip
    (folder / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    described = {"base_url": server.base_url, "model": "m", "concurrency": CONCURRENCY, "timeout": TIMEOUT, "retries": 6}
    (folder / "endpoints.json").write_text(json.dumps({"it": described}))


def start(folder: Path, work: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "experiments.judge", f"--workdir={folder / work}", "--config.model=endpoint:it",
        f"--config.endpoints={folder / 'endpoints.json'}", f"--config.input={folder / 'replies.jsonl'}", "--config.max_new=8",
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def faults(number: int, content: str) -> Any:
    """What goes wrong with a try: with some first ones, by what is asked."""
    dice = random.Random(f"{SEED.value} {content}")
    return dice.choice(FAULTS) if number == 0 and dice.random() < FAILING else None


def answer(content: str) -> str:
    """A rating or a preference that depends on what is asked alone."""
    time.sleep(TAKES)
    digest = hashlib.sha256(content.encode()).digest()
    return "AB"[digest[0] % 2] if "[Reply B]" in content else str(1 + digest[0] % 10)


def keys_in(store: Path) -> set[str]:
    if not store.is_file():
        return set()
    with sqlite3.connect(store) as database:
        return {key.hex() for (key,) in database.execute("SELECT key FROM entries")}


if __name__ == "__main__":
    app.run(main)
