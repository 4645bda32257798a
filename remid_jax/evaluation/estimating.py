"""Everything that a score table tells: estimates of information, and what its shifts can cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from remid_jax.errors import UserError
from remid_jax.evaluation.score_files import read_scores
from remid_jax.information import estimates as information
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import ScoreTable
from remid_jax.parallel import Devices
from remid_jax.shifts.sections import shift_sections


def estimates(table: ScoreTable, settings: Settings, devices: Devices) -> dict[str, Any]:
    """Returns `information.estimates` and, under "bounds", `shifts.sections` of a table, computed in float64.

    Raises:
      UserError: a setting is out of range.
      RuntimeError: the golden control has an EMI other than exactly 0 (docs/protocol.md, rule 17).
    """
    settings.check()
    with jax.enable_x64(True):
        plan = information.plan_of(table, settings, devices)
        found = information.estimates(table, settings, plan)
        return found | {"bounds": shift_sections(table, plan, settings.seed, settings.level)}


def estimate(
    scores: str | Path | Mapping[str, np.ndarray] | ScoreTable, *, devices: Devices | None = None, **settings: Any
) -> dict[str, Any]:
    """Returns every estimate of a score table: a file, its arrays by name, or a table (layout: `information.score_arrays`).

    `settings` are those of `information.estimates.Settings` by name. The result is laid out as `information.estimates` says.

    Raises:
      UserError: if the table is broken (all faults at once), or a setting does not exist or is out of range.
    """
    known = [field.name for field in dataclasses.fields(Settings)]
    if unknown := [name for name in settings if name not in known]:
        raise UserError(f"no setting {', '.join(unknown)}: the settings are {', '.join(known)}")
    if isinstance(scores, (str, Path)):
        scores = read_scores(scores)
    table = scores if isinstance(scores, ScoreTable) else parse(scores)
    return estimates(table, Settings(**settings), devices or Devices())
