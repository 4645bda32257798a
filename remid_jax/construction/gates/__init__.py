"""The gates of a benchmark, one file each; docs/gates.md says what each asks, from where on it rejects, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from remid_jax.construction.screening import Gate
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record

if TYPE_CHECKING:
    from remid_jax.scoring.engine import ScoringEngine


def default_gates(
    sources: Mapping[str, Record] = {},
    scoring: ScoringEngine | None = None,
    prompts: Prompts | None = None,
) -> list[Gate]:
    """Returns the gates in the order in which they are asked."""
    return []
