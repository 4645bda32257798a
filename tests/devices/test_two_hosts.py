"""Two processes with four devices each, as two hosts: one mesh, one store, the numbers of one device."""

import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from tiny import REQUESTS, assert_equal, reference

WORKER = Path(__file__).with_name("host_worker.py")


def run_hosts(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hosts = [subprocess.Popen([sys.executable, WORKER, str(host), str(port), str(folder)]) for host in (0, 1)]
    assert [host.wait(timeout=300) for host in hosts] == [0, 0]
    return [pickle.loads((folder / f"host{host}.pickle").read_bytes()) for host in (0, 1)]


def test_two_hosts_score_and_sample_as_one_device_does(tmp_path):
    expected = [[reference(request, continuation) for continuation in request.continuations] for request in REQUESTS]
    first = run_hosts(tmp_path)
    for scores, samples, counts in first:
        assert_equal(scores, expected)
        assert samples == first[0][1]
        assert counts["store_misses"] == counts["rows"] > 0
    again = run_hosts(tmp_path)  # the second host has no store of its own: it hears of the first one's
    for (scores, samples, counts), (before, _, _) in zip(again, first, strict=True):
        assert counts["device_steps"] == 0
        assert samples == first[0][1]
        assert all(np.array_equal(a, b) for x, y in zip(scores, before, strict=True) for a, b in zip(x, y, strict=True))
