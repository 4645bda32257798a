"""Pairs of texts that may be nearly equal, without comparing all: MinHash signatures in bands.

Two texts' signatures agree in a place with the probability of their sets' Jaccard index (Broder 1997). Texts that agree in all
places of a band are a pair; what it lets through is compared in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int, UInt64

WIDTH = 5  # characters of a shingle: a word with a space; of three, unlike texts of one language share a tenth
BANDS, PLACES = 64, 2
"""A pair with Jaccard index j is found with probability 1 - (1 - j^2)^64: .92 at .2, .998 at .3; at .03, .06."""
COMMON, FEW = 0.05, 50
"""Share of the texts, and their number at least, above which a run of characters that they have is left out: it belongs to a
template that all are written to, by which all pairs would be alike."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


def candidate_pairs(
    texts: Sequence[str], seed: int = 0, report: Callable[[int], None] = lambda done: None
) -> Int[np.ndarray, "pairs 2"]:
    """Returns pairs (i, j), i < j, of texts that may be alike, in order; `report` is called with how many have been read."""
    generator = np.random.default_rng(seed)
    factors = generator.integers(0, 2**63, (BANDS * PLACES, 1), np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.empty((len(texts), BANDS * PLACES), np.uint64)
    shingles = [_shingles(text) for text in texts]
    numbers, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *shingles]), return_counts=True)
    common = numbers[counts > max(COMMON * len(texts), FEW)]
    for number, runs in enumerate(shingles):
        own = runs[~np.isin(runs, common)]
        signatures[number] = _mixed((own if len(own) else runs) * factors).min(1)
        report(number + 1)
    # A pair is one number until the end: texts of one template are alike in all pairs, too many for tuples.
    codes = np.empty(0, np.int64)
    for band in signatures.reshape(len(texts), BANDS, PLACES).swapaxes(0, 1):
        codes = np.union1d(codes, _pairs_within(np.unique(band, axis=0, return_inverse=True)[1].ravel()))
    return np.stack(np.divmod(codes, max(len(texts), 1)), 1)


def _pairs_within(groups: Int[np.ndarray, " texts"]) -> Int[np.ndarray, " pairs"]:
    """Returns i * texts + j for every two texts i < j with one group."""
    order = np.argsort(groups, kind="stable")
    codes = [np.empty(0, np.int64)]
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(members) > 1:
            first, second = np.triu_indices(len(members), 1)
            codes.append(members[first] * len(groups) + members[second])
    return np.concatenate(codes)


def _shingles(text: str) -> UInt64[np.ndarray, " runs"]:
    """A number for each run of `WIDTH` characters; of a shorter text, for the whole of it."""
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    width = min(WIDTH, len(characters))
    if not width:
        return np.zeros(1, np.uint64)
    numbers = np.zeros(len(characters) - width + 1, np.uint64)
    for place in range(width):
        numbers = numbers * _BASE + characters[place : place + len(numbers)]  # modulo 2**64
    return np.unique(numbers)


def _mixed(numbers: UInt64[np.ndarray, "places runs"]) -> UInt64[np.ndarray, "places runs"]:
    """Numbers whose high digits depend on all digits: a product alone keeps the order of small differences."""
    numbers = numbers ^ (numbers >> np.uint64(31))
    numbers = numbers * np.uint64(0xBF58476D1CE4E5B9)
    return numbers ^ (numbers >> np.uint64(29))
