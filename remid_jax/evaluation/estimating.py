"""Everything that a score table tells: estimates of information, and what its shifts can cost."""

from __future__ import annotations

from typing import Any

import jax

from remid_jax.information import estimates as information
from remid_jax.information.estimates import Settings
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
