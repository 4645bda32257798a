"""Progress of long work: a bar with rate and time left on a terminal, a line a stage anywhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[[int, int], None]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{_rate(task.speed or 0)} {task.fields['unit']}/s")


def _rate(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


class Stages:
    """Times the stages of a run, in order; `seconds` maps each to what it took."""

    def __init__(self, console: Console):
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        """Yields `advance(done, total)`; on a terminal it moves a bar."""
        start, last = time.monotonic(), [0, 0]
        columns = (
            SpinnerColumn(), TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), _Rate(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            task = bars.add_task(name, total=None, unit=unit)

            def advance(done: int, total: int) -> None:
                last[:] = done, total
                bars.update(task, completed=done, total=total)

            yield advance
        seconds = time.monotonic() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        work = f"{last[1]:,} {unit}, {_rate(last[1] / seconds)} {unit}/s" if last[1] else "nothing to compute"
        self.console.print(f"{name:<14} {seconds:7.1f} s   {work if unit else ''}", highlight=False)
