"""Does what is trained on stay apart from what is tested?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remid_jax.construction.gates.fields import SHORT, excerpt, folded, weight
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance


class Split:
    """Rejects a training record that has something of a test record: the lineage, the pair of user and character, the golden
    reply, or the first thing that the user says.

    The test stays as it is: it is smaller, and its categories are compared record by record. Texts of fewer than eight words
    are let pass, "Good morning!" opens many dialogues. What is nearly equal is for `Duplicates`.
    """

    name = "split"

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        owners: dict[tuple[str, str], str] = {}
        for record in records:
            if record.category != manifest.train:
                for kind, content, _ in _traces(record):
                    owners.setdefault((kind, content), record.id)
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            if record.category == manifest.train:
                crossing = (
                    f"{kind} crosses: {shown}, also of test record {owners[kind, content]!r}"
                    for kind, content, shown in _traces(record)
                    if (kind, content) in owners
                )
                if why := next(crossing, None):
                    faults[index] = why
            report(index + 1, len(records))
        return faults


def _traces(record: Record) -> Iterator[tuple[str, str, str]]:
    """(kind, as it is compared, as it is shown) of what may stand on one side alone."""
    yield from (("lineage", origin, repr(origin)) for origin in sorted(record.origins))
    pair = f"{folded(record.user_persona)}\n{folded(record.character_text)}"
    yield "user and character", pair, excerpt(record.user_persona)
    opening = next((turn.text for turn in record.dialogue if turn.speaker == "user"), "")
    for kind, text in (("golden reply", record.golden), ("opening", opening)):
        if weight(text) >= SHORT:
            yield kind, folded(text), excerpt(text)
