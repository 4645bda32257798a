"""Which records a training loop sees next: grain shuffles them anew every epoch, and its place can be saved."""

from __future__ import annotations

import json
from typing import Any

import grain
import numpy as np


class Feed:
    """Endless batches of `size` record numbers below `count`, in an order drawn from `seed`; a record comes once an epoch."""

    def __init__(self, count: int, size: int, seed: int):
        order = grain.MapDataset.range(count).seed(seed).shuffle().repeat().batch(size, drop_remainder=True)
        # Numbers, not files: grain's default of 16 threads that draw 500 batches ahead would cost seconds of every run's start.
        self._batches = iter(order.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)))

    def __next__(self) -> list[int]:
        return np.asarray(next(self._batches)).tolist()

    @property
    def place(self) -> Any:
        """Where it stands, as JSON."""
        return json.loads(json.dumps(self._batches.get_state()))

    @place.setter
    def place(self, place: object) -> None:
        self._batches.set_state(place)
