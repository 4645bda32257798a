"""Log-probabilities pair by pair, for questions that come in a stream: what is stored of a pair is not computed again.

Requests are planned window by window, so memory does not grow with their number. A row holds whatever pairs of its window are
new; the pair's numbers move with its company by float rounding alone: below 5e-5 nats a token in float32, up to .15 in
bfloat16. The store notes which pairs of a window were planned together, so a run that was killed and started again makes the
same rows, and equal numbers.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from remid_jax.scoring.engine import LOGPROBS, Begun, ScoringEngine, refuse_not_finite, steps_of
from remid_jax.scoring.packing import Plan
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Writer

T = TypeVar("T")
Pair = tuple[int, int]  # request of a window, continuation of the request


@dataclasses.dataclass(eq=False)
class _Window:
    """Requests that are planned together.

    Attributes:
      first: how many requests stand before it.
      keys: of each pair, [request][continuation].
      values: log-probabilities by key, as they come.
      elsewhere: which earlier window computes a pair that stands in both.
      wanted: the keys that this window computes and nobody has.
      pairs: for each row of the plan the keys in it, and the indices of each one's scores.
      plan: the rows, None where nothing is to be computed.
      steps: the numbers of the rows to compute, step by step.
    """

    first: int
    keys: list[list[bytes]]
    values: dict[bytes, np.ndarray]
    elsewhere: dict[bytes, _Window]
    wanted: set[bytes]
    pairs: list[list[tuple[bytes, np.ndarray]]]
    plan: Plan | None
    steps: list[list[int]]
    given: int = 0

    def results(self, found: Callable[[], None]) -> Iterator[list[np.ndarray]]:
        """Yields the requests that are done and were not given yet, in order; `found` is called before one whose pairs this
        window did not compute."""
        while self.given < len(self.keys):
            values = [self._value(key) for key in self.keys[self.given]]
            done = [value for value in values if value is not None]
            if len(done) < len(values):
                return
            if self.wanted.isdisjoint(self.keys[self.given]):
                found()
            self.given += 1
            yield done
        self.elsewhere.clear()

    def _value(self, key: bytes) -> np.ndarray | None:
        return self.elsewhere.get(key, self).values.get(key)

    def requests_with(self, keys: set[bytes]) -> list[int]:
        """The numbers of the requests that ask for one of the keys, counted from 1 over all windows."""
        return [self.first + r for r, own in enumerate(self.keys, 1) if not keys.isdisjoint(own)]


def score_pairs(
    engine: ScoringEngine, windows: Iterable[Sequence[Request]], found: Callable[[], None] = lambda: None
) -> Generator[list[np.ndarray], None, None]:
    """Yields for each request in turn the log-probabilities of its continuations, nats, float32, as the last of them is done.

    Groups of requests are not heeded. `found` is called before each request for which nothing had to be computed, as the store
    or an earlier window had all of it.

    Raises:
      UserError: as `ScoringEngine.score`.
    """
    open_windows: collections.deque[_Window] = collections.deque()
    with engine.store.writer() as put:
        for (window, numbers), arrays in engine.fetched(_begun(engine, windows, open_windows, put)):
            if numbers:
                put(_taken(engine, window, numbers, arrays))
            while open_windows:
                yield from open_windows[0].results(found)
                if open_windows[0].given < len(open_windows[0].keys):
                    break
                open_windows.popleft()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yields the items; a thread makes the next one meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(1, "ahead") as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


def _begun(
    engine: ScoringEngine, windows: Iterable[Sequence[Request]], open_windows: collections.deque[_Window], put: Writer
) -> Iterator[tuple[tuple[_Window, list[int]], Begun]]:
    asked = 0
    for requests in windows:
        put.flush()  # so that what is found does not depend on how quick the disk is
        window = _opened(engine, requests, asked, open_windows, put)
        open_windows.append(window)
        asked += len(requests)
        for numbers in window.steps:
            assert window.plan is not None
            yield (window, numbers), engine.begin_scores(window.plan, numbers)
        if not window.steps:
            yield (window, []), (None, ())


def _opened(
    engine: ScoringEngine, requests: Sequence[Request], first: int, open_windows: Iterable[_Window], put: Writer
) -> _Window:
    """The window of these requests: what is known of it, and the plan of the rest."""
    arrays = [
        Request(np.asarray(r.prefix, np.int32), [Continuation(np.asarray(c.ids, np.int32)) for c in r.continuations])  # type: ignore[arg-type]
        for r in requests
    ]
    key = engine.keys("logprobs of a pair")
    keys = [[key(r.prefix.tobytes(), c.ids.tobytes()) for c in r.continuations] for r in arrays]  # type: ignore[attr-defined]
    where: dict[bytes, Pair] = {}
    for r, own in enumerate(keys):
        for c, pair in enumerate(own):
            where.setdefault(pair, (r, c))
    together = engine.keys("pairs planned together")(b"".join(where))
    stored = engine.store.get([*where, together])
    values = {pair: np.frombuffer(stored[pair], np.float32) for pair in where if pair in stored}
    values = {pair: value for pair, value in values.items() if np.isfinite(value).all()}
    elsewhere = {pair: other for other in open_windows for pair in other.wanted if pair in where and pair not in values}
    missing = [pair for pair in where if pair not in values and pair not in elsewhere]
    engine.counts.store_hits += len(where) - len(missing)
    engine.counts.store_misses += len(missing)
    window = _Window(first, keys, values, elsewhere, set(missing), [], None, [])
    if missing:
        planned = _planned(list(where), window.wanted, stored.get(together))
        put({together: np.packbits([pair in planned for pair in where]).tobytes()})
        _plan(engine, window, arrays, {pair: where[pair] for pair in where if pair in planned})
    return window


def _planned(keys: Sequence[bytes], wanted: set[bytes], noted: bytes | None) -> set[bytes]:
    """The pairs to plan: those of an earlier run of the same window, if it left these over, else the wanted ones."""
    if noted is not None:
        flags = np.unpackbits(np.frombuffer(noted, np.uint8), count=len(keys))
        before = {key for key, flag in zip(keys, flags, strict=True) if flag}
        if wanted <= before:
            return before
    return wanted


def _plan(engine: ScoringEngine, window: _Window, requests: Sequence[Request], planned: Mapping[bytes, Pair]) -> None:
    """Plans the pairs, and chooses the rows that hold a wanted one; steps go by the first request that they help."""
    by_request: dict[int, list[tuple[bytes, int]]] = {}
    for key, (r, c) in planned.items():
        by_request.setdefault(r, []).append((key, c))
    plan = engine.plan(
        [Request(requests[r].prefix, [requests[r].continuations[c] for _, c in own]) for r, own in by_request.items()]
    )
    engine.check(plan)
    window.plan, window.pairs = plan, [[] for _ in plan.rows]
    earliest = [len(requests)] * len(plan.rows)
    for (r, own), places in zip(by_request.items(), plan.places, strict=True):
        for (key, _), place in zip(own, places, strict=True):
            window.pairs[place.row].append((key, place.indices))
            earliest[place.row] = min(earliest[place.row], r)
    rows = [n for n, own in enumerate(window.pairs) if any(key in window.wanted for key, _ in own)]
    rows.sort(key=lambda n: earliest[n])
    window.steps = sorted(steps_of(plan, rows), key=lambda numbers: earliest[numbers[0]])
    engine.counts.rows += len(rows)


def _taken(engine: ScoringEngine, window: _Window, numbers: Sequence[int], arrays: Sequence[np.ndarray]) -> dict[bytes, bytes]:
    """Takes what a step made into the window, and returns it as the store keeps it."""
    assert window.plan is not None
    engine.count(window.plan, LOGPROBS, numbers)
    made: dict[bytes, np.ndarray] = {}
    for n, array in zip(numbers, arrays, strict=True):
        assert len(array) == len(window.plan.rows[n].scored), f"row {n} is not fully scored"
        made |= {key: array[indices] for key, indices in window.pairs[n] if key in window.wanted}
    if wrong := {key for key, value in made.items() if not np.isfinite(value).all()}:
        refuse_not_finite(engine.model, LOGPROBS, window.requests_with(wrong), window.first + len(window.keys))
    window.values |= made
    return {key: value.tobytes() for key, value in made.items()}
