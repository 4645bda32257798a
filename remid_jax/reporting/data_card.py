"""The card of a benchmark: what it holds, what its gates rejected, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remid_jax.construction.screening import Screening
    from remid_jax.dialogues.manifest import Manifest
    from remid_jax.dialogues.records import Record

CARD = "card.md"


def write_card(
    folder: Path, records: Sequence[Record], manifest: Manifest, screening: Screening, account: Mapping[str, Any]
) -> None:
    """Writes card.md and its figures to a folder."""
