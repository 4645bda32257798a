"""Work that is repeated when there is news, but may take a small share of the time only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SHARE = 0.05


class Pace:
    """Leaves work out where it would take more than `share` of the time from its last end to now and its own.

    What was left out must be done at the end.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.monotonic):
        self._share, self._clock, self._next = share, clock, -math.inf

    def __call__(self, work: Callable[[], object]) -> bool:
        """Does the work if it is time; returns whether it was."""
        began = self._clock()
        if began < self._next:
            return False
        work()
        ended = self._clock()
        self._next = ended + (ended - began) * (1 / self._share - 1)
        return True
