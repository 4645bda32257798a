"""Pairs of texts that may be nearly equal, without comparing all: MinHash signatures in bands.

Two texts' signatures agree in a place with the probability of their sets' Jaccard index (Broder 1997). Texts that agree in all
places of a band are a pair; what it lets through is compared in full.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

WIDTH = 5  # characters of a shingle: a word with a space; of three, unlike texts of one language share a tenth
BANDS, PLACES = 64, 2
"""A pair with Jaccard index j is found with probability 1 - (1 - j^2)^64: .92 at .2, .998 at .3; at .03, .06."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


def candidate_pairs(
    texts: Sequence[str], seed: int = 0, report: Callable[[int], None] = lambda done: None
) -> set[tuple[int, int]]:
    """Returns pairs (i, j), i < j, of texts that may be alike; `report` is called with how many have been read."""
    generator = np.random.default_rng(seed)
    factors = generator.integers(0, 2**63, (BANDS * PLACES, 1), np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.empty((len(texts), BANDS * PLACES), np.uint64)
    for number, text in enumerate(texts):
        signatures[number] = _mixed(_shingles(text) * factors).min(1)
        report(number + 1)
    pairs: set[tuple[int, int]] = set()
    for band in signatures.reshape(len(texts), BANDS, PLACES).swapaxes(0, 1):
        _, group_of_text = np.unique(band, axis=0, return_inverse=True)
        group_of_text = group_of_text.ravel()
        order = np.argsort(group_of_text, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(group_of_text[order])) + 1):
            pairs |= set(itertools.combinations(group.tolist(), 2))
    return pairs


def _shingles(text: str) -> np.ndarray:
    """A number for each run of `WIDTH` characters [runs]; of a shorter text, for the whole of it."""
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    width = min(WIDTH, len(characters))
    if not width:
        return np.zeros(1, np.uint64)
    numbers = np.zeros(len(characters) - width + 1, np.uint64)
    for place in range(width):
        numbers = numbers * _BASE + characters[place : place + len(numbers)]  # modulo 2**64
    return np.unique(numbers)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers whose high digits depend on all digits: a product alone keeps the order of small differences."""
    numbers = numbers ^ (numbers >> np.uint64(31))
    numbers = numbers * np.uint64(0xBF58476D1CE4E5B9)
    return numbers ^ (numbers >> np.uint64(29))
