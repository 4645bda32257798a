"""Curves over dials: what a policy loses as a dial is turned, each with a band that holds at all of its settings at once.

    {curve: {"reference", "categories": [its settings, by position], "positions": [of these],
             scorer: {quantity: {"estimator", "unit", "level", "each": level of every interval by itself,
                                 "points": [number and "band": {"low", "high"}, or None]},
                      "controls": {control: the same of its EMID}}}}

Quantities are "emid" (under "reasoned" R-EMID) and "estimator_shift" by the headline's formula and unit, and, where it is known
what replies copy, "novel_emid"; this and controls are by `club token_rate`. The band is simultaneous over the settings of a
curve, for one quantity (`information.simultaneous`): contexts that two settings share vary together, which makes it narrower
than independent intervals would be. A setting that nothing can vary, such as a mixture with a share of 0, has a band without
width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from remid_jax.information.copying import RATE
from remid_jax.information.intervals import Estimate, Replicates
from remid_jax.information.score_table import ScoreTable
from remid_jax.information.simultaneous import band

Rows = Mapping[str, Mapping[str, Replicates]]
"""{quantity: {category: its replicates}}."""


def dial_curves(
    table: ScoreTable,
    rows: Mapping[str, Rows],
    controls: Mapping[str, Rows],
    keys: Mapping[str, tuple[str, str]],
    number: Callable[[Replicates, str, str], Estimate],
    level: float,
) -> dict[str, Any]:
    """Returns the dictionary of the module docstring; empty without dials that have positions.

    Args:
      table: its `dials` say which categories are settings of which curve.
      rows: {scorer: {quantity: {category: replicates}}}.
      controls: {scorer: {control: {category: replicates of its EMID}}}.
      keys: {quantity: (estimator, unit)}.
      number: makes an estimate of replicates, a unit and an estimator.
      level: of the bands.
    """
    curves: dict[str, list[tuple[float, str]]] = {}
    for name, point in table.dials.items():
        if point.position is not None:
            curves.setdefault(point.curve, []).append((point.position, name))
    result: dict[str, Any] = {}
    for curve, points in curves.items():
        names = [name for _, name in sorted(points)]
        section: dict[str, Any] = {
            "reference": table.design[names[0]].reference,
            "categories": names,
            "positions": [position for position, _ in sorted(points)],
        }
        for scorer, of_scorer in rows.items():
            section[scorer] = {
                quantity: _curve([of_category[name] for name in names], *keys[quantity], number, level)
                for quantity, of_category in of_scorer.items()
            } | {
                "controls": {
                    control: _curve([of_category[name] for name in names], *RATE, number, level)
                    for control, of_category in controls[scorer].items()
                }
            }
        result[curve] = section
    return result


def _curve(
    points: list[Replicates],
    estimator: str,
    unit: str,
    number: Callable[[Replicates, str, str], Estimate],
    level: float,
) -> dict[str, Any]:
    whole = band(points, level)

    def ends(place: int) -> dict[str, float] | None:
        low, high = float(whole.low[place]), float(whole.high[place])
        return {"low": low, "high": high} if math.isfinite(low) and math.isfinite(high) else None

    return {
        "estimator": estimator,
        "unit": unit,
        "level": level,
        "each": whole.each,
        "points": [{**number(point, unit, estimator), "band": ends(place)} for place, point in enumerate(points)],
    }
