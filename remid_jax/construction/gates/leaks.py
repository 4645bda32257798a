"""Does the golden reply stand in its own context already?"""

from __future__ import annotations

from collections.abc import Sequence

from remid_jax.construction.gates.fields import context_fields, excerpt
from remid_jax.dialogues.copying import LONG_RUN, copied_runs, units
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance

LEAST, SAID_AGAIN = 12, 0.8
"""Weight of a run, six words, that says a reply again where it is so much of it. Runs of four words that are half of a reply
are mostly manners, "It was nice talking to you"; the embedded benchmark's longest run is four words, .09 of its reply."""


class Leaks:
    """Rejects a record whose golden reply can be read off its context: the user's persona, the character or the dialogue.

    A run of eight words is a leak (`LONG_RUN`: from there on docs/protocol.md, rule 23 takes a quote for a recital), and one of
    six that is most of the reply.
    """

    name = "leaks"

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            if why := _fault(record):
                faults[index] = why
            report(index + 1, len(records))
        return faults


def _fault(record: Record) -> str | None:
    reply = list(units(record.golden))
    whole = sum(unit.weight for unit in reply)
    for field in context_fields(record):
        runs = copied_runs(reply, [field.text])
        first, last, weight = max(runs, key=lambda run: run[2], default=(0, 0, 0))
        if weight >= LONG_RUN or weight >= max(LEAST, SAID_AGAIN * whole):
            return f"golden reply stands in {field.name}: {excerpt(record.golden[reply[first].start : reply[last].end])}"
    return None
