"""A process that is killed ten times, by SIGKILL at seeded moments, leaves what one that was never killed leaves."""

import multiprocessing
import os
import random
import signal
import sys
import time

from building import build_at, files
from writing_server import WritingServer

KILLS, CONCURRENCY = 10, 4
PRELOADED = [
    "remid_jax.construction.pipeline",
    "remid_jax.construction.gates",
    "remid_jax.endpoints.remote",
    "openai",
    "httpx2",
]


def test_killed_ten_times_it_pays_for_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # where the process that others are copies of looks
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ready_process"])
    server, dice = WritingServer(), random.Random(17)
    killed, plain = tmp_path / "killed", tmp_path / "plain"
    for folder in (killed, plain):
        folder.mkdir()

    def start(folder):
        process = context.Process(target=build_at, args=(server.base_url, str(folder)))
        process.start()
        return process

    for _ in range(KILLS):
        process, until = start(killed), server.tries.total() + dice.randint(1, 9)
        while server.tries.total() < until:
            assert process.is_alive()
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert not (killed / "build.json").exists()
    for folder in (killed, plain):
        last = start(folder)
        last.join()
        assert last.exitcode == 0
    server.close()
    assert files(killed) == files(plain)
    assert set(server.paid.values()) == {1}
    # `plain` has a store of its own, so each answer is asked for by it once more.
    assert server.given_again.total() - len(server.paid) <= KILLS * CONCURRENCY
