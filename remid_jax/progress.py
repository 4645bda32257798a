"""How long work tells how far it is: stages with their rate and the time left, and lines between them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

Advance = Callable[[int, int], None]
"""Called with (units done, units in all) of a stage, without what a store had; the last call with 0 done begins the work."""

EVERY = 30.0  # seconds between two lines where there is no terminal


class Reports(Protocol):
    """What long work reports to."""

    def stage(self, name: str, unit: str = "tokens") -> AbstractContextManager[Advance]:
        """Begins a stage, which ends with the context."""
        ...

    def say(self, line: str) -> None:
        """Tells one thing."""
        ...


class Silent:
    """Shows nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        yield lambda done, total: None

    def say(self, line: str) -> None:
        pass


class Shown:
    """Shows a bar a stage on a terminal; anywhere else a line when it ends, and one every 30 seconds until then."""

    def __init__(self, console: Console | None = None, every: float = EVERY):
        self._console, self._every = console or Console(stderr=True), every

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        count = _Count(name, unit)
        with self._bar(count) if self._console.is_terminal else self._lines(count):
            yield count.advance
        self.say(count.summary())

    @contextlib.contextmanager
    def _bar(self, count: _Count) -> Iterator[None]:
        columns = (
            SpinnerColumn(), TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            _Rate(count), TimeElapsedColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(count.name, total=None)
            count.listener = lambda done, total: bars.update(task, completed=done, total=total or None)
            yield

    @contextlib.contextmanager
    def _lines(self, count: _Count) -> Iterator[None]:
        """The line comes from a thread, so that it comes while a device computes."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(self._every):
                self.say(count.line())

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()


class Together:
    """Passes on to several reports at once."""

    def __init__(self, *reports: Reports):
        self._reports = reports

    def say(self, line: str) -> None:
        for reports in self._reports:
            reports.say(line)

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        with contextlib.ExitStack() as stack:
            advances = [stack.enter_context(reports.stage(name, unit)) for reports in self._reports]

            def advance(done: int, total: int) -> None:
                for each in advances:
                    each(done, total)

            yield advance


class Timed:
    """Passes on to other reports; `seconds` maps each stage to what it took, in order."""

    def __init__(self, reports: Reports):
        self._reports = reports
        self.seconds: dict[str, float] = {}

    def say(self, line: str) -> None:
        self._reports.say(line)

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        start = time.monotonic()
        with self._reports.stage(name, unit) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def shares(advance: Advance, sizes: Sequence[float]) -> list[Advance]:
    """Returns an `advance` for each of several workers of one stage, one after the other: together they move `advance`.

    The work of those that have not begun is guessed from that of the others, by what `sizes` say of each.

    >>> first, second = shares(lambda done, total: print(done, "of", total), [1, 3])
    >>> first(5, 10), second(2, 24)
    5 of 40
    7 of 34
    (None, None)
    """
    totals: dict[int, int] = {}
    dones = [0] * len(sizes)

    def share(worker: int) -> Advance:
        def of_worker(done: int, total: int) -> None:
            dones[worker], totals[worker] = done, total
            known = sum(totals.values())
            left = sum(size for number, size in enumerate(sizes) if number not in totals)
            advance(sum(dones), known + round(known * left / (sum(sizes[number] for number in totals) or 1)))

        return of_worker

    return [share(worker) for worker in range(len(sizes))]


class _Count:
    """How far a stage is."""

    def __init__(self, name: str, unit: str):
        self.name, self.unit, self.start = name, unit, time.monotonic()
        self.began = self.start  # when the first unit was begun
        self.done = self.total = 0
        self.listener: Advance = lambda done, total: None

    def advance(self, done: int, total: int) -> None:
        if not done:
            self.began = time.monotonic()
        self.done, self.total = done, total
        self.listener(done, total)

    def rate(self) -> str:
        speed = self._speed(self.done)
        left = f", {clock((self.total - self.done) / speed)} left" if 0 < self.done < self.total else ""
        return f"{_number(speed)} {self.unit}/s{left}"

    def line(self) -> str:
        if not self.total:
            return f"{self.name:<14} {time.monotonic() - self.start:7.0f} s so far"
        return f"{self.name:<14} {self.done / self.total:4.0%}   {self.done:,} of {self.total:,} {self.unit}, {self.rate()}"

    def summary(self) -> str:
        seconds, work = time.monotonic() - self.start, ""
        if self.unit and self.total:
            work = f"{self.total:,} {self.unit}, {_number(self._speed(self.total))} {self.unit}/s"
        elif self.unit:
            work = "nothing to compute"
        return f"{self.name:<14} {seconds:7.1f} s   {work}".rstrip()

    def _speed(self, units: int) -> float:
        return units / max(time.monotonic() - self.began, 1e-9)


class _Rate(ProgressColumn):
    def __init__(self, count: _Count):
        super().__init__()
        self._count = count

    def render(self, task: Task) -> Text:
        return Text(self._count.rate() if self._count.unit and self._count.total else "")


def _number(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def clock(seconds: float) -> str:
    """Returns minutes and seconds, from an hour on hours before them.

    >>> clock(95), clock(3600)
    ('1:35', '1:00:00')
    """
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
