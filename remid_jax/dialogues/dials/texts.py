"""What dials change in a record by itself or with the texts of others; pure, and the same for the same seed.

A changed record has an id of its own, its old one with the dial behind it, so that ready replies and stored work are never
taken for those of another context. Golden replies are kept where they stay draws from the law that the changed context has:

- *shortened*, *without*: the golden reply of the whole context. Over contexts that agree in what is left, such replies follow
  the law of a reply given what is left. So the golden term says how much of what golden replies tell hangs on the factor.
- *turns*: the record's own thread comes last and whole, so the same reply is due.
- *exchanged*: the reply answers somebody who is no longer there. Golden replies are dropped, with that reason.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from remid_jax.dialogues.copying import units
from remid_jax.dialogues.dials.spelling import SETTING
from remid_jax.dialogues.names import in_texts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError


def seeded_order(seed: int, purpose: str, names: Iterable[str]) -> list[str]:
    """Returns the names, each once, in an order that depends on the seed, the purpose and each name alone.

    So it is kept when names are left out.
    """

    def key(name: str) -> bytes:
        return hashlib.sha256(json.dumps([seed, purpose, name]).encode()).digest()

    return sorted(set(names), key=key)


def shortened(record: Record, factor: str, share: float, written: str) -> Record:
    """Returns the record with `share` of a factor cut, to the nearest number, halves up.

    Of a profile the last words go, of a dialogue its first turns; the user's last turn stays, since it is what is answered. In
    scripts without spaces a character is a word. `written` goes into the id.
    """
    if factor == "user":
        kept = _kept(sum(1 for _ in units(record.user_persona)), share)
        return _changed(record, written, user_persona=_first_words(record.user_persona, kept))
    if factor == "character":
        return _changed(record, written, agent_character=_cut_character(record.agent_character, share))
    earlier = record.dialogue[:-1]
    return _changed(record, written, dialogue=record.dialogue[len(earlier) - _kept(len(earlier), share) :])


def _changed(record: Record, written: str, **values: Any) -> Record:
    """The record with these values, under an id of its own if it is another then."""
    changed = dataclasses.replace(record, **values)
    return record if changed == record else dataclasses.replace(changed, id=f"{record.id} {written}")


def _kept(count: int, share: float) -> int:
    return count - math.floor(share * count + 0.5)


def _first_words(text: str, kept: int) -> str:
    starts = [unit.start for unit in units(text)]
    return text if kept >= len(starts) else text[: starts[kept]].rstrip()


def _cut_character(character: Mapping[str, object], share: float) -> dict[str, object]:
    """The first words of all its texts together; a text that loses every word is left out, of a whole cut everything."""
    if share == 1:
        return {}
    counts: list[int] = []

    def count(text: str) -> str:
        counts.append(sum(1 for _ in units(text)))
        return text

    in_texts(dict(character), count)
    budget = _budgets(counts, _kept(sum(counts), share))
    cut: dict[str, object] = in_texts(dict(character), lambda text: _first_words(text, next(budget)))
    return cut


def _budgets(counts: Sequence[int], kept: int) -> Iterator[int]:
    """How many words of each text are among the first `kept` of all."""
    for count in counts:
        taken = min(count, kept)
        kept -= taken
        yield taken


def turns(records: Sequence[Record], donors: Sequence[Record], threads: int, seed: int, written: str) -> list[Record]:
    """Returns the records with `threads` - 1 whole dialogues of `donors` before their own.

    Records of a lineage hear the same threads, and no two lineages one: so no context holds what another's reply is about.
    More threads are put before those of fewer.

    Raises:
      UserError: there are too few donors.
    """
    order = seeded_order(seed, "turns", (record.lineage for record in records))
    strangers = _strangers(records, donors, len(order) * (threads - 1), seed, "turns", written)
    place = {lineage: number for number, lineage in enumerate(order)}

    def dialogue(record: Record) -> tuple[Turn, ...]:
        turns_so_far: tuple[Turn, ...] = ()
        for number in reversed(range(threads - 1)):
            donor = strangers[number * len(order) + place[record.lineage]]
            turns_so_far = _joined(turns_so_far, (*donor.dialogue, Turn("agent", donor.golden)))
        return _joined(turns_so_far, record.dialogue)

    return [_changed(record, written, dialogue=dialogue(record)) for record in records]


def _joined(before: tuple[Turn, ...], after: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Two dialogues as one; where the second begins with the agent, who spoke last in the first, both say one turn."""
    if before and before[-1].speaker == after[0].speaker:
        return (*before[:-1], Turn(before[-1].speaker, f"{before[-1].text}\n{after[0].text}"), *after[1:])
    return (*before, *after)


def exchanged(records: Sequence[Record], donors: Sequence[Record], factor: str, seed: int, written: str) -> list[Record]:
    """Returns the records with a factor of `donors`, without golden replies.

    Records of a lineage get the same, no two lineages that of one donor.

    Raises:
      UserError: there are too few donors.
    """
    order = seeded_order(seed, "exchanged", (record.lineage for record in records))
    strangers = dict(zip(order, _strangers(records, donors, len(order), seed, "exchanged", written), strict=True))
    field = {"user": "user_persona", "character": "agent_character", "dialogue": "dialogue"}[factor]
    return [_changed(record, written, golden="", **{field: getattr(strangers[record.lineage], field)}) for record in records]


def _strangers(
    records: Sequence[Record], donors: Sequence[Record], needed: int, seed: int, purpose: str, written: str
) -> list[Record]:
    """The first `needed` donors that are related to no record, in a seeded order."""
    related = {origin for record in records for origin in record.origins}
    strangers = {donor.id: donor for donor in donors if donor.golden and not donor.origins & related}
    if len(strangers) < needed:
        raise UserError(
            f"{SETTING}: {written} needs {needed} training records that are related to no test record, for texts of "
            f"others, and the benchmark has {len(strangers)}: add some under the manifest's train tag"
        )
    return [strangers[name] for name in seeded_order(seed, purpose, strangers)[:needed]]
