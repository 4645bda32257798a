"""What a model's weights and architecture are, in one word: a sha256 over the contents of its files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from remid_jax.caches import cache_folder
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.models.config import DecoderConfig, description

BLOCK, BLOCKS = 2**18, 64  # of a sample: 16 MiB in all


def fingerprint(config: DecoderConfig, files: Sequence[Path]) -> str:
    """sha256 over the architecture and every weight file's sha256."""
    parts = [json.dumps(description(config), sort_keys=True), *map(file_digest, files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's contents.

    Of a file larger than a sample it is remembered for as long as its size, times, inode and a hash of 64 blocks of it stay the
    same: so weights that were replaced are noticed, whatever their size and time. Smaller files are read anew each time.
    """
    stat = path.stat()
    if stat.st_size <= BLOCK * BLOCKS:
        return _sha256(path)
    state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, _sample(path, stat.st_size)]
    folder = cache_folder("digests")
    # A file for each: processes that write at once cannot lose or mix up what others wrote.
    memory = folder and folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()}.json"
    if memory is not None:
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            known = json.loads(memory.read_text())
            if known["state"] == state:
                return str(known["sha256"])
    digest = _sha256(path)
    if memory is not None:
        with contextlib.suppress(OSError, UserError):  # a cache that cannot be written only costs time
            write_text(memory, json.dumps({"file": str(path), "state": state, "sha256": digest}))
    return digest


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sample(path: Path, size: int) -> str:
    """sha256 of the file's head, its tail, and blocks at places between that its size alone determines."""
    places = np.random.default_rng(size).integers(0, size - BLOCK, BLOCKS - 2)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for place in [0, *sorted(map(int, places)), size - BLOCK]:
            file.seek(place)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()
