"""Tables of dials: what a policy loses at each setting of a curve, with bands that hold at all settings at once.

Input is the dictionary of results.json; curves are laid out in `remid_jax.information.dial_curves`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remid_jax.information.intervals import Estimate
from remid_jax.reporting.cells import UNITS, Column, Results, Row, Table, cell, headline_key, level, prefix

SHOWN = ("emid", "novel_emid", "estimator_shift")


def curves(results: Results) -> Mapping[str, Any]:
    """Returns the curves of an evaluation; none where it had no dial that has positions."""
    of_dials: Mapping[str, Any] = results["estimates"].get("dials", {})
    return of_dials


def titles(scorer: str) -> dict[str, str]:
    """Returns what each quantity of a curve is called."""
    r = prefix(scorer)
    return {"emid": f"{r}EMID", "novel_emid": f"novel {r}EMID", "estimator_shift": "golden drop"}


def banded(point: Mapping[str, Any]) -> Estimate:
    """Returns a number of a curve with the band in the place of its interval."""
    interval = point["interval"]
    if interval is not None and point["band"] is not None:
        interval = {**interval, **point["band"], "method": "max-|t|", "bootstrap": None}
    return {**point, "interval": interval}  # type: ignore[typeddict-item]


def dial_tables(results: Results) -> list[Table]:
    """Returns a table a curve, a row a setting; in brackets the band."""
    scorer = headline_key(results)[2]
    tables = []
    for curve, section in curves(results).items():
        of_quantities = {name: section[scorer][name] for name in SHOWN if name in section[scorer]}
        columns = [
            Column(titles(scorer)[name], f"{of['estimator']} {of['unit']} ({UNITS[of['unit']]})")
            for name, of in of_quantities.items()
        ]
        rows = [
            Row(name, [cell(banded(of["points"][place])) for of in of_quantities.values()])
            for place, name in enumerate(section["categories"])
        ]
        note = (
            f"Compared with {section['reference']}: larger = worse. In brackets: bands that hold with {level(results)} at all "
            "settings of the curve at once, for each column by itself."
        )
        tables.append(Table(f"{curve}, as the dial is turned", columns, rows, label="dial", notes=[note]))
    return tables
