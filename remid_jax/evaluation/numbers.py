"""Estimates as typed values: numbers with their intervals, categories and shifts, and all of them as one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from remid_jax.information.intervals import Estimate
from remid_jax.information.verdict import emi_of
from remid_jax.reporting.dial_tables import banded, curves
from remid_jax.reporting.subjects import Results

QUANTITIES = ("emi", "emid", "estimator_shift")


@dataclasses.dataclass(frozen=True)
class Number:
    """An estimate with its interval. `value` is None where there is none, `low` and `high` where the interval is missing; then
    `reason` says why. `validated`: the interval's coverage was checked for as few clusters (lineages)."""

    value: float | None
    unit: str
    estimator: str
    n: int
    low: float | None = None
    high: float | None = None
    level: float | None = None
    clusters: int | None = None
    validated: bool = False
    reason: str | None = None

    @classmethod
    def of(cls, number: Estimate) -> Number:
        """Reads a number of results.json (`information.intervals.number`)."""
        found = cls(number["value"], number["unit"], number["estimator"], number["n"], reason=number.get("reason"))
        if (interval := number["interval"]) is None:
            return found
        return dataclasses.replace(
            found,
            low=interval["low"],
            high=interval["high"],
            level=interval["level"],
            clusters=interval["clusters"],
            validated=interval["validated"],
            reason=interval.get("reason"),
        )

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and 0 lies outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclasses.dataclass(frozen=True)
class CategoryEstimates:
    """A category in the headline's estimator and unit; `r_emid` and `golden_drop` are None where there is no reference.

    `r_emi`: Ihat of the policy's replies minus Ihat of the golden ones. `r_emid`: `r_emi` of the reference minus `r_emi` here.
    `novel_r_emi`, `novel_r_emid`: the same of what replies tell beyond saying their context back, by `club token_rate`; None
    where it is not known what they copy. `identified`: how often replies (their novel tokens, where known) are traced to their
    own context rather than another; by chance 0.5.
    `golden_drop`: how far Ihat of the golden replies falls from the reference to here. Without reasoning they are EMI and EMID.
    """

    name: str
    shift: str | None
    language: str | None
    records: int
    r_emi: Number
    r_emid: Number | None
    golden_drop: Number | None
    novel_r_emi: Number | None
    novel_r_emid: Number | None
    identified: Number


@dataclasses.dataclass(frozen=True)
class ShiftEstimates:
    """The unweighted mean of a shift's categories, in the headline's estimator and unit; see `CategoryEstimates`."""

    name: str
    categories: tuple[str, ...]
    r_emi: Number
    r_emid: Number | None
    golden_drop: Number | None
    novel_r_emi: Number | None
    novel_r_emid: Number | None
    identified: Number


def categories_of(results: Results) -> dict[str, CategoryEstimates]:
    """Returns {name: category} of the dictionary of results.json."""
    found = {}
    for name, section in results["estimates"]["categories"].items():
        about = results["categories"][name]
        numbers = _headline(results, section)
        found[name] = CategoryEstimates(name, about["shift"], about["language"], section["records"], *numbers)
    return found


def shifts_of(results: Results) -> dict[str, ShiftEstimates]:
    """Returns {name: shift} of the dictionary of results.json."""
    return {
        name: ShiftEstimates(name, tuple(section["categories"]), *_headline(results, section))
        for name, section in results["estimates"]["shifts"].items()
    }


def dials_of(results: Results) -> dict[str, dict[str, Number]]:
    """Returns {curve: {setting: R-EMID}} of the dictionary of results.json, in the headline's estimator and unit.

    Intervals are bands: they hold at all settings of a curve at once.
    """
    scorer = results["estimates"]["headline"]["scorer"]
    return {
        curve: {
            setting: Number.of(banded(point))
            for setting, point in zip(section["categories"], section[scorer]["emid"]["points"], strict=True)
        }
        for curve, section in curves(results).items()
    }


def _headline(
    results: Results, section: Mapping[str, Any]
) -> tuple[Number, Number | None, Number | None, Number | None, Number | None, Number]:
    headline = results["estimates"]["headline"]
    scored = section[headline["scorer"]]

    def number(quantity: str) -> Number | None:
        return Number.of(scored[quantity][headline["estimator"]][headline["unit"]]) if quantity in scored else None

    def novel(term: str) -> Number | None:
        return Number.of(emi_of(scored, term, "novel")) if term in scored.get("by_source", {}) else None

    emi = number("emi")
    assert emi is not None
    traced = scored["identified"]["policy"]
    identified = Number.of(traced.get("novel", traced["whole"]))
    return emi, number("emid"), number("estimator_shift"), novel("emi"), novel("emid"), identified


COLUMNS = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("name", pa.string()),
        pa.field("shift", pa.string()),
        pa.field("conditioning", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("part", pa.string()),
        pa.field("formula", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("level", pa.float64()),
        pa.field("clusters", pa.int64()),
        pa.field("validated", pa.bool_()),
        pa.field("n", pa.int64()),
        pa.field("reason", pa.string()),
    ]
)


def table_of(results: Results) -> pa.Table:
    """Returns one row a category or shift, conditioning (reasoned or plain), quantity, formula and unit.

    Quantities are "golden" and "policy" (Ihat of these replies), "emi", "emid" and "estimator_shift", in the units of
    `information.estimates`; parts are whole replies, their sources and what is novel in them (`information.copying`);
    "identified" and "misplaced_equivalent" stand among the formulas. Columns are those of `COLUMNS`.
    """
    return pa.Table.from_pylist(list(_rows(results)), schema=COLUMNS)


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    estimates = results["estimates"]
    for kind in ("category", "shift"):
        for name, section in estimates["categories" if kind == "category" else "shifts"].items():
            shift = name if kind == "shift" else section["shift"]
            for conditioning in estimates["estimators"]:
                for quantity, part, formula, unit, number in _numbers(section[conditioning]):
                    keys = {"kind": kind, "name": name, "shift": shift, "conditioning": conditioning}
                    values = dataclasses.asdict(Number.of(number))
                    del values["estimator"]
                    yield {**keys, "quantity": quantity, "part": part, "formula": formula, **values, "unit": unit}


def _numbers(section: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Estimate]]:
    """(quantity, part, formula, unit, number) of a category or shift under one conditioning."""
    for quantity in ("golden", "policy", *QUANTITIES):
        parts = {"whole": section.get(quantity, {})} | section.get("by_source", {}).get(quantity, {})
        for part, formulas in parts.items():
            for formula, units in formulas.items():
                if formula not in ("retrieval", "saturated"):
                    for unit, number in units.items():
                        yield quantity, part, formula, unit, number
        for formula in ("identified", "misplaced_equivalent"):
            for part, number in section[formula].get(quantity, {}).items():
                yield quantity, part, formula, number["unit"], number
