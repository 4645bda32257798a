"""What compositions were made from, where no file says so."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from remid_jax.construction.gates.composition import TURN_LEVEL, WORD_LEVEL, edited_words
from remid_jax.construction.gates.threads import places_of
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record


def sources_by_lineage(records: Sequence[Record], manifest: Manifest) -> dict[str, tuple[Record, ...]]:
    """Returns {id of a composition: what it was made from}, where the category that it is compared with has its lineage.

    Of a word-level record that is the one with the nearest context; of a turn-level one that of which most turns stand in it:
    the other dialogue is not known, as a benchmark need not hold it.
    """
    sources: dict[str, tuple[Record, ...]] = {}
    for name in (TURN_LEVEL, WORD_LEVEL):
        category = manifest.categories.get(name)
        bases = [record for record in records if category is not None and record.category == category.reference]
        for record in records:
            if record.category == name:
                own = [base for base in bases if base.lineage == record.lineage]
                if own:
                    sources[record.id] = (min(own, key=functools.partial(_distance, record)),)
    return sources


def _distance(record: Record, base: Record) -> int:
    return edited_words(record, base) if record.category == WORD_LEVEL else -len(places_of(base, record))
