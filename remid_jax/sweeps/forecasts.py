"""What points will cost that are not done: by those of their task that are, or by their settings. No weight is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.evaluation.records import read_records
from remid_jax.sweeps.plan import Done
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.work import SAMPLED, SCORED


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Tokens to score and to sample, and hours; None where nobody knows. `at_most` says that settings bound what is sampled."""

    to_score: int | None
    to_sample: int | None
    hours: float | None
    at_most: bool = False

    @classmethod
    def of_done(cls, done: Done) -> Forecast:
        """Returns what a point took that is done."""
        return cls(done.work.get(SCORED), done.work.get(SAMPLED), done.hours)

    @classmethod
    def total(cls, forecasts: Sequence[Forecast]) -> Forecast:
        """Returns the sum; unknown where a summand is."""

        def added(values: list[float | None]) -> float | None:
            return None if any(value is None for value in values) else sum(value for value in values if value is not None)

        to_score, to_sample = (added([getattr(forecast, name) for forecast in forecasts]) for name in ("to_score", "to_sample"))
        return cls(
            None if to_score is None else round(to_score),
            None if to_sample is None else round(to_sample),
            added([forecast.hours for forecast in forecasts]),
            any(forecast.at_most for forecast in forecasts),
        )


class Forecasts:
    """Expects of a point what those `done` took on average that have the same task."""

    def __init__(self, done: Sequence[tuple[Point, Done]]):
        self._done: dict[str, list[Done]] = {}
        for point, result in done:
            self._done.setdefault(point.task, []).append(result)

    def of_point(self, point: Point) -> Forecast:
        """Returns what is expected of a point."""
        alike = self._done.get(point.task, [])
        hours = sum(done.hours for done in alike) / len(alike) if alike else None
        scored, sampled = (_mean([done.work[kind] for done in alike if kind in done.work]) for kind in (SCORED, SAMPLED))
        if sampled is None and (most := _most_sampled(point)) is not None:
            return Forecast(scored, most, hours, at_most=True)
        return Forecast(scored, sampled, hours)


def _mean(values: Sequence[int]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def _most_sampled(point: Point) -> int | None:
    """The new tokens that an evaluation can sample at most, if its records can be read now."""
    if point.task != "evaluate":
        return None
    config = ConfigDict(dict(point.config))
    try:
        records = read_records(config, None).test.values()
    except UserError:  # such as records that another point writes
        return None
    most = config.benchmark.records or max(map(len, records), default=0)
    reasoning = 0 if config.estimator.reasoning else config.estimator.max_reasoning
    replies = 0 if config.policy.replies else config.policy.max_reply * (1 + config.policy.self_samples)
    return sum(min(len(members), most) for members in records) * (reasoning + replies)
