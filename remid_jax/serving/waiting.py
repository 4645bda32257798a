"""Requests that wait, put together to as few calls of the engines as their kinds allow; one thread computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

MOST = 256  # jobs that are computed together


class _Job(NamedTuple):
    kind: Hashable
    item: Any
    future: Future[Any]


class Batches:
    """Jobs of one kind that wait at the same time are computed by one call, `compute(kind, items)`: a result an item.

    A job whose future is cancelled before its turn is not computed. Where a call fails, each of its jobs is computed alone, so
    that nobody suffers for what somebody else asked.
    """

    def __init__(self, compute: Callable[[Any, Sequence[Any]], Sequence[Any]]):
        self._compute = compute
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, kind: Hashable, item: Any) -> Future[Any]:
        """Returns the future result of one item."""
        future: Future[Any] = Future()
        self._waiting.put(_Job(kind, item, future))
        return future

    def close(self) -> None:
        """Computes what waits, and ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            by_kind: dict[Hashable, list[_Job]] = {}
            jobs = [self._waiting.get()]
            while len(jobs) < MOST and not self._waiting.empty():
                jobs.append(self._waiting.get())
            for job in jobs:
                if job is None:
                    ended = True
                elif job.future.set_running_or_notify_cancel():
                    by_kind.setdefault(job.kind, []).append(job)
            for alike in by_kind.values():
                self._serve(alike)

    def _serve(self, jobs: Sequence[_Job]) -> None:
        try:
            results = self._compute(jobs[0].kind, [job.item for job in jobs])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._serve([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
