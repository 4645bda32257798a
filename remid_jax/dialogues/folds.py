"""Cross-fitting: which records an estimator may be fitted on, and which it then scores (protocol.md 19)."""

from __future__ import annotations

import hashlib


def fold_of(lineage: str, folds: int = 2) -> int:
    """The fold, 0 .. folds-1, of all records of one lineage: a hash of its name, no seed, no other record."""
    return int.from_bytes(hashlib.sha256(lineage.encode()).digest()) % folds
