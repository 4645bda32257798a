"""Two processes with several devices each, as two hosts: one mesh, one store, the numbers and files of one device."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tiny import REQUESTS, assert_equal, reference
from training import moved_adapter

from remid_jax.dialogues.records import Record, Turn, write_jsonl

FOLDER = Path(__file__).parent


def start_hosts(worker, count, *given):
    """Runs a worker as so many hosts to its end."""
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [str(port), *map(str, given)]
    hosts = [
        subprocess.Popen([sys.executable, FOLDER / worker, str(count), str(host), *given], env=paths) for host in range(count)
    ]
    assert [host.wait(timeout=300) for host in hosts] == [0] * count


def score_on_hosts(folder):
    start_hosts("host_worker.py", 2, folder)
    return [pickle.loads((folder / f"host{host}.pickle").read_bytes()) for host in (0, 1)]


def test_two_hosts_score_and_sample_as_one_device_does(tmp_path):
    expected = [[reference(request, continuation) for continuation in request.continuations] for request in REQUESTS]
    first = score_on_hosts(tmp_path)
    for scores, samples, counts in first:
        assert_equal(scores, expected)
        assert samples == first[0][1]
        assert counts["store_misses"] == counts["rows"] > 0
    again = score_on_hosts(tmp_path)  # the second host has no store of its own: it hears of the first one's
    for (scores, samples, counts), (before, _, _) in zip(again, first, strict=True):
        assert counts["device_steps"] == 0
        assert samples == first[0][1]
        assert all(np.array_equal(a, b) for x, y in zip(scores, before, strict=True) for a, b in zip(x, y, strict=True))


def test_what_is_split_over_two_hosts_is_written_whole_and_by_one(tmp_path, ending_directory):
    records, alone, shared = tmp_path / "train.jsonl", tmp_path / "alone", tmp_path / "shared"
    write_jsonl(records, [Record(n, "A baker.", {"mood": "dry"}, (Turn("user", "Why?"),), "So.", "IDTrain") for n in "ab"])
    for folder, hosts in ((alone, 1), (shared, 2)):
        folder.mkdir()
        start_hosts("training_worker.py", hosts, folder, ending_directory, records)
    assert {(shared / f"fingerprint{host}").read_text() for host in (0, 1)} == {moved_adapter().fingerprint}
    for rank, kind, name in ((0, "model", "model.safetensors"), (2, "adapter", "adapter_model.safetensors")):
        ended, kept = (shared / f"rank{rank}" / place for place in (kind, "kept/1"))
        assert {path.name: path.read_bytes() for path in ended.iterdir()} == {
            path.name: path.read_bytes() for path in kept.iterdir()
        }
        found, expected = load_file(ended / name), load_file(alone / f"rank{rank}" / kind / name)
        assert found.keys() == expected.keys()
        for tensor, array in expected.items():
            assert np.linalg.norm(found[tensor] - array) <= 1e-5 * np.linalg.norm(array), tensor
