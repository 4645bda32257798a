"""Where each point of a sweep stands, for people: done, failed, running, stopped half-way, waiting for others, or to be run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from remid_jax.reporting.cells import Cell, Column, Row, Table
from remid_jax.sweeps.attempts import to_run
from remid_jax.sweeps.forecasts import Forecast, Forecasts
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.locks import is_claimed
from remid_jax.sweeps.plan import Plan
from remid_jax.sweeps.points import Point

UNKNOWN = "unknown"
NOTE_LENGTH = 120  # characters of an error


@dataclasses.dataclass(frozen=True)
class State:
    """A point, its state in a word or two, and what there is to say of it."""

    point: Point
    word: str
    note: str = ""


def states(plan: Plan, index: Index, names: Sequence[str], workdir: Path, retry_failed: bool = False) -> list[State]:
    """Returns the state of each point that the sweep is for, and of those that they need.

    done       stands in the index
    not needed does not stand in the index, and all that need it are done
    again      is done elsewhere, and run for the files that another point needs
    failed     was tried, and is not run again unless that is asked for
    running    is computed by a process of this machine, or one that shares the workdir
    stopped    was begun and goes on
    waiting    needs a point that failed or is not done
    ready      can be run at once
    """
    points, outcome = to_run(plan, index, names, workdir, retry_failed)
    missing = {point.name for point in points}
    needed = set(names)
    for point in reversed(plan.points):
        if point.name in needed:
            needed.update(point.needs)

    def state(point: Point) -> State:
        name = point.name
        if name in outcome.failed:
            return State(point, "failed", f"{outcome.failed[name].error} ({outcome.failed[name].log})")
        if name in outcome.waiting:
            return State(point, "waiting", f"for {outcome.waiting[name]}, which failed")
        if name not in missing:
            return State(point, "done" if name in index else "not needed")
        if is_claimed(workdir / name):
            return State(point, "running")
        if lacking := [need for need in point.needs if need in missing]:
            return State(point, "waiting", f"for {', '.join(lacking)}")
        if name in index:
            return State(point, "again", "for its files, which are not in the workdir")
        return State(point, "stopped" if plan.is_begun(name, workdir) else "ready")

    return [state(point) for point in plan.points if point.name in needed]


def listed(standings: Sequence[State], index: Index) -> Table:
    """Returns the states as a table, with the hours of what is done."""
    rows = [
        Row(
            state.point.name,
            [
                Cell(state.point.task), Cell(state.word),
                _hours(index.done(state.point.name).hours if state.word == "done" else None, ""), Cell(_short(state.note)),
            ],
        )
        for state in standings
    ]  # fmt: skip
    return Table(_counted(standings), [Column("task"), Column("state"), Column("hours"), Column("note")], rows, "point")


def expected(standings: Sequence[State], index: Index) -> Table:
    """Returns the states as a table, with what is expected of points that are not done: tokens and hours, and their sums."""
    forecasts = Forecasts([(state.point, index.done(state.point.name)) for state in standings if state.word == "done"])
    expectations = [Forecast.of_done(index.done(state.point.name)) if state.word == "done" else forecasts.of_point(state.point)
                    for state in standings]  # fmt: skip
    rows = [
        Row(state.point.name, [Cell(state.point.task), Cell(state.word), *_numbers(forecast), Cell(_short(state.note))])
        for state, forecast in zip(standings, expectations, strict=True)
    ]
    left = [forecast for state, forecast in zip(standings, expectations, strict=True) if state.word != "done"]
    total = Forecast.total(left)
    rows.append(Row("what is left", [Cell(), Cell(), *_numbers(total), Cell()], "shift"))
    columns = [
        Column(name) for name in ("task", "state", "tokens to score", "tokens to sample", "hours", "note")
    ]  # fmt: skip
    notes = [
        "tokens of what is done are those that the device computed; of other points as many as those of the same task took on "
        "average, or at most as many as settings allow (≤); hours are those of the same task on average",
    ]
    return Table(_counted(standings), columns, rows, "point", notes)


def _counted(standings: Sequence[State]) -> str:
    words = [state.word for state in standings]
    return f"{len(standings)} points: " + ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _numbers(forecast: Forecast) -> list[Cell]:
    def tokens(value: int | None) -> Cell:
        return Cell(UNKNOWN) if value is None else Cell(f"{'≤ ' if forecast.at_most and value else ''}{value:,}", value)

    return [
        Cell(UNKNOWN) if forecast.to_score is None else Cell(f"{forecast.to_score:,}", forecast.to_score),
        tokens(forecast.to_sample),
        _hours(forecast.hours, UNKNOWN),
    ]


def _hours(hours: float | None, otherwise: str) -> Cell:
    return Cell(otherwise) if hours is None else Cell(f"{hours:.2f}" if hours >= 0.01 else f"{hours:.1g}", hours)


def _short(note: str) -> str:
    return note if len(note) <= NOTE_LENGTH else f"{note[: NOTE_LENGTH - 1]}…"
