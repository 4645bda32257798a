"""Fingerprints are of contents: what has changed is noticed, whatever size, time and name say."""

import hashlib
import json
import os
import shutil
import threading

import numpy as np
import pytest
from tiny import CONFIG, tiny_model

from remid_jax.models import fingerprints
from remid_jax.models.fingerprints import file_digest
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and samples of 8 blocks of 16 bytes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints, "BLOCK", 16)
    monkeypatch.setattr(fingerprints, "BLOCKS", 8)
    return tmp_path / "cache" / "remid_jax" / "digests"


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(np.random.default_rng(0).bytes(4096))
    return path


def truth(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_file_is_hashed_once(large, monkeypatch):
    first = file_digest(large)
    assert first == truth(large)
    monkeypatch.setattr(fingerprints, "_sha256", lambda path: pytest.fail("hashed again"))
    assert file_digest(large) == first


def replaced(large):
    """Other contents of equal size and time, in the same place."""
    stat = large.stat()
    other = large.with_name("other")
    other.write_bytes(np.random.default_rng(1).bytes(4096))
    os.replace(other, large)
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def overwritten(large):
    """The same, in the same inode."""
    stat = large.stat()
    with open(large, "r+b") as file:
        file.write(np.random.default_rng(1).bytes(4096))
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def one_byte(large):
    """One byte, somewhere."""
    stat = large.stat()
    with open(large, "r+b") as file:
        file.seek(2000)
        file.write(b"?")
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [replaced, overwritten, one_byte])
def test_contents_of_equal_size_and_time_are_noticed(large, change):
    before = file_digest(large)
    change(large)
    assert file_digest(large) == truth(large) != before


def test_the_sample_alone_notices_other_weights(large, cache):
    """As where a file system numbers files and times as it likes."""
    before = file_digest(large)
    [memory] = cache.iterdir()
    replaced(large)
    known, stat = json.loads(memory.read_text()), large.stat()
    known["state"][:4] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    memory.write_text(json.dumps(known))
    assert file_digest(large) == truth(large) != before


def test_small_files_are_never_taken_on_trust(tmp_path, cache):
    path = tmp_path / "small"
    path.write_bytes(b"one")
    assert file_digest(path) == truth(path)
    assert not cache.exists()


@pytest.mark.parametrize("content", ["", "broken", "[]", '{"state": 3}', '{"sha256": "x"}'])
def test_a_broken_memory_is_made_again(large, cache, content):
    file_digest(large)
    [memory] = cache.iterdir()
    memory.write_text(content)
    assert file_digest(large) == truth(large)
    assert json.loads(memory.read_text())["sha256"] == truth(large)


def test_many_at_once_all_find_the_contents(tmp_path, cache):
    paths = [tmp_path / f"weights {n}" for n in range(4)]
    for n, path in enumerate(paths):
        path.write_bytes(np.random.default_rng(n).bytes(4096))
    found = []
    threads = [threading.Thread(target=lambda p=p: found.append((p, file_digest(p)))) for p in paths * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted((path, truth(path)) for path in paths * 8)
    assert len(list(cache.iterdir())) == 4


def test_without_a_place_for_caches_it_only_takes_longer(large, monkeypatch):
    monkeypatch.setattr(fingerprints, "cache_folder", lambda kind: None)
    assert file_digest(large) == truth(large)


def test_the_fingerprint_is_of_weights_and_config(tmp_path):
    save_model(tmp_path / "model", CONFIG, tiny_model().params, None)
    first = open_model(str(tmp_path / "model"), "float32").fingerprint
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    assert open_model(str(tmp_path / "copy"), "bfloat16").fingerprint == first
    config = tmp_path / "copy" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rope_theta": 5.0, "rope_parameters": None}))
    assert open_model(str(tmp_path / "copy"), "float32").fingerprint != first
    save_model(tmp_path / "model", CONFIG, tiny_model(seed=1).params, None)
    assert open_model(str(tmp_path / "model"), "float32").fingerprint != first
