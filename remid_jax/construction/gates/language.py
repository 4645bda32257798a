"""Do the user and the golden reply speak the category's language?"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from remid_jax.construction.gates.fields import excerpt, weight
from remid_jax.dialogues.languages import language_name, language_share
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance

LEAST = 12
"""Weight of a text (six words, or twelve characters of a script without spaces) from which on its language is asked: of shorter
ones it is a guess."""


class Language:
    """Rejects a record whose user, or whose golden reply, speaks another language than the manifest says.

    Languages are told apart as in reports (`dialogues.languages`): among those of the manifest. A category without one is let
    pass.
    """

    name = "language"

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        by_language = collections.defaultdict(list)
        for index, record in enumerate(records):
            if tag := manifest.language_of(record.category):
                by_language[tag].append(index)
        faults: dict[int, str] = {}
        done = len(records) - sum(map(len, by_language.values()))
        for tag, indices in by_language.items():
            asked = [(index, *said) for index in indices for said in _said(records[index])]
            detected = language_share([text for _, _, text in asked], tag, manifest.languages).detected
            wanted = language_name(tag)
            for (index, who, text), language in zip(asked, detected or [wanted] * len(asked), strict=True):
                if language != wanted and index not in faults:
                    faults[index] = f"{who} not in {wanted}: {language or 'no language'}, {excerpt(text)}"
            done += len(indices)
            report(done, len(records))
        return faults


def _said(record: Record) -> list[tuple[str, str]]:
    """(who says it, text) of what is long enough to have a language."""
    user = "\n".join(turn.text for turn in record.dialogue if turn.speaker == "user")
    return [(who, text) for who, text in (("user", user), ("golden reply", record.golden)) if weight(text) >= LEAST]
