"""Golden replies made worse by known amounts: what a measure of replies has to put in order (docs/doses.md).

A rung is a policy made of two sets of replies: a share of its records, drawn with a seed, say what the one set says, all others
their golden reply. Sets are functions of a record; the set `golden_other` is not among them, for what it says is known from the
scores of the golden replies. A smaller share of one set is part of every larger one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from remid_jax.dialogues.copying import units
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.roles.control_policies import CONSTANT_REPLY, golden_half, parrot, reciter
from remid_jax.scoring.generation import record_key
from remid_jax.scoring.texts import Reply

_CALLED = re.compile(r"\s*(\w[\w'’-]*),")
DELETED = (0.25, 0.5, 0.75)
MEANINGS = {
    "golden": "the golden reply",
    "golden_other": "the golden reply of another lineage of the category",
    "parrot": "the user's last turn, said back",
    "reciter": "the user's profile from its beginning",
    "constant": f"one reply to everybody, in English: {CONSTANT_REPLY}",
    "half_golden_parrot": "the first half of the golden reply, then the user's last turn",
    "misnamed": "the golden reply with another user's name in the place of the user's: right topic, wrong person",
    "stale": "the character's last turn, said again: in character, but an echo of the dialogue",
    "other_language": "the golden reply of the same lineage in another language: right topic, another user",
    **{f"deleted_{share:.0%}".rstrip("%"): f"the golden reply without {share:.0%} of its words" for share in DELETED},
}
"""What each set of replies says."""


class Rung(NamedTuple):
    """`share` of the records say what the set `said` says; `dose` is its place on a ladder, None outside of ladders."""

    name: str
    said: str
    share: float
    ladder: str | None = None
    dose: float | None = None


def _shares(ladder: str, said: str, shares: Sequence[float]) -> list[Rung]:
    return [Rung(f"{ladder} {share:.0%}", said, share, ladder, share) for share in shares]


RUNGS = (
    Rung("golden", "golden", 1.0),
    Rung("misnamed", "misnamed", 1.0),
    *_shares("misplaced", "golden_other", (0.25, 0.5, 0.75, 1.0)),
    *_shares("parrot", "parrot", (0.5, 1.0)),
    *_shares("reciter", "reciter", (0.5, 1.0)),
    *(Rung(f"deleted {share:.0%}", f"deleted_{share:.0%}".rstrip("%"), 1.0, "deleted", share) for share in DELETED),
    Rung("half_golden_parrot", "half_golden_parrot", 1.0),
    Rung("stale", "stale", 1.0),
    Rung("other_language", "other_language", 1.0),
    Rung("constant", "constant", 1.0),
)
LADDERS = {
    ladder: ("golden", *(rung.name for rung in RUNGS if rung.ladder == ladder))
    for ladder in dict.fromkeys(rung.ladder for rung in RUNGS if rung.ladder)
}
"""The rungs of each ladder, the best first."""


def degraded_records(records: Sequence[Record], share: float, seed: int) -> Bool[np.ndarray, " n"]:
    """Returns which records a rung of this share degrades: `share` of them, to the nearest number, halves up."""
    order = sorted(range(len(records)), key=lambda place: record_key(seed, "degraded", records[place].id))
    found = np.zeros(len(records), bool)
    found[order[: math.floor(share * len(records) + 0.5)]] = True
    return found


def half_golden_parrot(record: Record) -> Reply:
    """Returns the first half of the golden reply, then the user's last turn."""
    return Reply(f"{golden_half(record).text} {parrot(record).text}")


def stale(record: Record) -> Reply | None:
    """Returns the character's last turn before the user's, said again; None where the character has not spoken yet."""
    spoken = [turn.text for turn in record.dialogue if turn.speaker == "agent"]
    return Reply(spoken[-1]) if spoken else None


def without_words(record: Record, share: float, seed: int) -> Reply:
    """Returns the golden reply without a share of its words, to the nearest number, halves up.

    Words go with the punctuation behind them. In scripts without spaces a character is a word.
    """
    starts = [unit.start for unit in units(record.golden)]
    edges = [0, *starts[1:], len(record.golden)]
    order = np.random.default_rng(list(record_key(seed, "words", record.id))).permutation(len(starts))
    gone = set(order[: math.floor(share * len(starts) + 0.5)].tolist())
    return Reply("".join(record.golden[edges[k] : edges[k + 1]] for k in range(len(starts)) if k not in gone).strip())


def misnamed(record: Record, other: Record) -> Reply:
    """Returns the golden reply with the name of another record's user in the place of the user's own.

    A name is the first word of a persona, if a comma follows it. A reply that does not say the name stays as it is.
    """
    own, theirs = _CALLED.match(record.user_persona), _CALLED.match(other.user_persona)
    if own is None or theirs is None:
        return Reply(record.golden)
    return Reply(re.sub(rf"\b{re.escape(own[1])}\b", lambda _: theirs[1], record.golden))


def degraded_sets(
    records: Sequence[Record], elsewhere: Mapping[str, str], seed: int
) -> tuple[dict[str, list[Reply]], dict[str, str]]:
    """Returns the sets of replies of a category, a reply a record, and {set that it cannot have: why}.

    Args:
      records: of the category; each has a golden reply.
      elsewhere: {lineage: its golden reply in another language}.
      seed: of the words that are deleted.
    """
    others = np.roll(np.arange(len(records)), len(records) // 2).tolist()
    sets: dict[str, list[Reply]] = {
        "golden": [Reply(record.golden) for record in records],
        "parrot": [parrot(record) for record in records],
        "reciter": [reciter(record) for record in records],
        "constant": [Reply(CONSTANT_REPLY) for _ in records],
        "half_golden_parrot": [half_golden_parrot(record) for record in records],
        "misnamed": [misnamed(record, records[other]) for record, other in zip(records, others, strict=True)],
    }
    for share in DELETED:
        sets[f"deleted_{share:.0%}".rstrip("%")] = [without_words(record, share, seed) for record in records]
    absent = {}
    if sets["misnamed"] == sets["golden"]:
        del sets["misnamed"]
        absent["misnamed"] = "no golden reply says the name that its user's persona begins with"
    earlier = [reply for record in records if (reply := stale(record)) is not None]
    if len(earlier) == len(records):
        sets["stale"] = earlier
    else:
        absent["stale"] = "the character has not spoken before in some record"
    if all(record.lineage in elsewhere for record in records):
        sets["other_language"] = [Reply(elsewhere[record.lineage]) for record in records]
    else:
        absent["other_language"] = "some lineage has no golden reply in another language"
    return sets, absent


def rung_replies(records: Sequence[Record], rung: Rung, elsewhere: Mapping[str, str], seed: int) -> dict[str, str]:
    """Returns {record: what it says on a rung}, for the records of a category; arguments as of `degraded_sets`.

    Raises:
      UserError: if the category cannot have the rung.
    """
    sets, absent = degraded_sets(records, elsewhere, seed)
    sets["golden_other"] = [sets["golden"][other] for other in np.roll(np.arange(len(records)), len(records) // 2)]
    if rung.said in absent:
        raise UserError(f"category {records[0].category}: has no rung {rung.name!r}, as {absent[rung.said]}: choose another")
    changed = degraded_records(records, rung.share, seed)
    chosen = zip(records, changed, sets[rung.said], sets["golden"], strict=True)
    return {record.id: said.text if is_changed else golden.text for record, is_changed, said, golden in chosen}
