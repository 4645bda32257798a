"""Letters that the figures' font lacks: other fonts of this machine draw them, and what none has is spelt out."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence

from matplotlib.font_manager import findfont, fontManager, get_font

FONT = "DejaVu Sans"  # comes with matplotlib, so figures are alike everywhere
_SPOKEN = re.compile(r".*\b(?:LETTER|SYLLABLE|CHARACTER|SIGN) (.+)")


def foreign(text: str) -> frozenset[str]:
    """Returns the letters of a text that `FONT` lacks, plain or bold."""
    plain, bold = (_letters(findfont(f"{FONT}:{weight}")) for weight in ("normal", "bold"))
    return frozenset(text) - (plain & bold) - {"\n"}


@functools.lru_cache
def fonts_for(letters: frozenset[str]) -> tuple[Sequence[str], frozenset[str]]:
    """Returns (`FONT` and the fonts here that have some of the letters, by name; the letters that none has)."""
    names, left = [FONT], letters
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)) if left else ():
        if font.name not in names and (found := left & _letters(font.fname)):
            names.append(font.name)
            left -= found
    return names, left


def spelt(text: str, letters: Iterable[str]) -> str:
    """Returns the text with what Unicode calls these letters in their places, and an ideograph's code point.

    >>> spelt("한국어 (日本)", "한국어日本")
    'Han-Gug-Eo (65E5-672C)'
    """
    if not letters:
        return text
    run = re.compile(f"[{''.join(map(re.escape, sorted(letters)))}]+")
    words = run.sub(lambda found: f"\0{'-'.join(filter(None, map(_name, found[0])))}\0", text)
    return re.sub(r"(?<=\w)\0+(?=\w)", " ", words).replace("\0", "")


def _name(letter: str) -> str:
    """ "": of what only changes the letter before it."""
    name = unicodedata.name(letter, "")
    if spoken := _SPOKEN.fullmatch(name):
        return spoken[1].title()
    if unicodedata.category(letter) == "Cf" or name.startswith("VARIATION SELECTOR"):
        return ""
    return f"{ord(letter):04X}" if not name or "IDEOGRAPH" in name else name.lower()


@functools.lru_cache
def _letters(path: str) -> frozenset[str]:
    return frozenset(map(chr, get_font(path).get_charmap()))
