"""What of a reply is copied from its own context (docs/protocol.md, rule 23).

A unit is a word, with its vowel signs and combining accents, or a character of a script that is written without spaces; case
and punctuation do not count, nor whether an accent is a character of its own. A run is a sequence of units of the reply that
stands in one turn of the dialogue, in the user's profile, or in one line of the character's. It weighs two for each word and
one for each character of such a script: eight are a run, sixteen a long one. The end of a reply is a unit, too, one that weighs
nothing and stands at the end of each of these: whoever says a turn back ends where it ended.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from remid_jax.dialogues.records import Record

ECHO, LONG_QUOTE, SHORT_QUOTE, OWN = range(4)
"""Where a piece of a reply comes from: the dialogue; a long or a short run of a profile; nowhere."""
RUN, LONG_RUN = 8, 16  # weights: 4 and 8 words, 8 and 16 characters
UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_JOINING = "\u200c\u200d" + "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c) in ("Mn", "Mc"))
_LETTER, _MARK = rf"(?![{UNSPACED}])[^\W_]", rf"(?![\0-\u02ff{UNSPACED}])[{_JOINING}]"  # none up to U+02FF: soon done with
_UNIT = re.compile(rf"(?P<character>[{UNSPACED}][\u3099\u309a]?)|{_LETTER}(?:['’]?{_LETTER}|{_MARK})*")

_SPACED_OFF = re.compile(r"\s+")
_END = "\x03"  # the unit at the end of every text; none that stands in a text is compared as this


class Unit(NamedTuple):
    """A word or character: as it is compared, where it stands in its text, and what it weighs."""

    folded: str
    start: int
    end: int
    weight: int


def units(text: str) -> Iterator[Unit]:
    """Yields the units of a text in order.

    >>> [unit.folded for unit in units("Don't STOP, 東京!")]
    ["don't", 'stop', '東', '京']
    """
    for match in _UNIT.finditer(text):
        folded = unicodedata.normalize("NFKC", match[0]).casefold().replace("’", "'")
        yield Unit(folded, match.start(), match.end(), 1 if match["character"] else 2)


def character_sources(reply: str, record: Record) -> Int[np.ndarray, " characters_and_end"]:
    """Returns where each character of a reply in this context comes from, and after them its end: `ECHO`, ..., or `OWN`.

    What lies between two units of a run belongs to the run, and what stands at its ends without a space between.
    """
    spoken = [*units(reply), Unit(_END, len(reply), len(reply) + 1, 0)]
    profile = [record.user_persona, *record.character_text.splitlines()]
    echoed = copied_runs(spoken, [turn.text for turn in record.dialogue])
    quoted = copied_runs(spoken, profile)
    sources = np.full(len(reply) + 1, OWN, np.int8)
    before = [0, *(unit.end for unit in spoken)]
    after = [*(unit.start for unit in spoken), len(reply)]
    for runs, least, source in ((quoted, RUN, SHORT_QUOTE), (quoted, LONG_RUN, LONG_QUOTE), (echoed, RUN, ECHO)):
        for first, last, weight in runs:
            if weight >= least:
                left = _SPACED_OFF.split(reply[before[first] : spoken[first].start])[-1]
                right = _SPACED_OFF.split(reply[spoken[last].end : after[last + 1]])[0]
                sources[spoken[first].start - len(left) : spoken[last].end + len(right)] = source
    return sources


def copied_runs(spoken: list[Unit], texts: Iterable[str]) -> list[tuple[int, int, int]]:
    """Returns (first unit, last unit, weight) of the longest run in a text that ends at each unit, where it weighs `RUN`."""
    numbers = {folded: number for number, folded in enumerate(dict.fromkeys(unit.folded for unit in spoken))}
    weight_before = np.concatenate([[0], np.cumsum([unit.weight for unit in spoken], dtype=int)])
    whole = [(*folded_units(text), _END) for text in texts]
    apart = [number for text in whole for number in (*(numbers.get(folded, -1) for folded in text), -1)]
    source = np.array(apart, int)  # all texts, after each of which no run goes on
    longest = np.zeros(len(spoken), int)
    ending = np.zeros(len(source) + 1, int)  # units of the run that ends before each place of the source
    for place, unit in enumerate(spoken):
        ending[1:] = np.where(source == numbers[unit.folded], ending[:-1] + 1, 0)
        longest[place] = ending.max()
    runs = [(place + 1 - length, place, int(weight_before[place + 1] - weight_before[place + 1 - length]))
            for place, length in enumerate(longest.tolist())]  # fmt: skip
    return [run for run in runs if run[2] >= RUN]


@functools.lru_cache(maxsize=4096)
def folded_units(text: str) -> tuple[str, ...]:
    """Returns the units of a text as they are compared; a context hears many replies, so its texts come up again and again."""
    return tuple(unit.folded for unit in units(text))
