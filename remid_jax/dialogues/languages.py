"""In which language texts are: a policy that answers a German user in English has shifted its language.

Reports print the share (docs/protocol.md, rule 16). Languages are BCP 47 tags ("de", "zh-Hans"); detection goes by the language
alone: script and region are not told apart.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

_ALIASES = {"no": "nb", "fil": "tl", "cmn": "zh", "arb": "ar", "iw": "he", "in": "id"}
"""Tags that people use for languages that lingua has under another."""
COMMON = ("ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "vi", "zh")
"""Languages among which texts are told apart where nobody names two; all 75 of lingua's take 15 seconds and a gigabyte."""


class LanguageShare(NamedTuple):
    """The share of texts in the language asked for, each text's language (None: undetectable), and why there is no share."""

    share: float | None
    detected: list[str | None]
    reason: str | None = None


def language_share(texts: Sequence[str], language: str | None, among: Iterable[str]) -> LanguageShare:
    """Returns how many of `texts` are in `language`, of the languages `among` which they are told apart.

    Where `language` and `among` name fewer than two that lingua knows, they are told apart from the `COMMON` ones. A text in
    none of them counts as one of them. Undetectable texts (digits, signs) count as other. The same texts give the same answer
    in every process. There is no share without texts, and none of a language that is None or that lingua does not know.
    """
    if language is None:
        return LanguageShare(None, [], "the category has no language")
    wanted = _known(language)
    if wanted is None:
        return LanguageShare(None, [], f"{language!r} is no language that lingua detects")
    if not texts:
        return LanguageShare(None, [], "there are no texts")
    candidates = {known.name for tag in (language, *among) if (known := _known(tag)) is not None}
    if len(candidates) < 2:
        candidates |= {_languages()[tag].name for tag in COMMON}
    found = [_detector(frozenset(candidates)).detect_language_of(text) for text in texts]
    counts = collections.Counter(found)
    return LanguageShare(counts[wanted] / len(texts), [None if hit is None else _name(hit) for hit in found])


def language_name(tag: str) -> str:
    """Returns the English name of a tag's language where lingua knows it, else the tag.

    >>> language_name("de-AT"), language_name("tlh")
    ('German', 'tlh')
    """
    known = _known(tag)
    return tag if known is None else _name(known)


def tag_named(name: str) -> str | None:
    """Returns the tag of the language with this English name ("german"), None if lingua knows no such language."""
    return next((tag for tag, language in _languages().items() if _name(language).lower() == name.strip().lower()), None)


def _name(language: Language) -> str:
    return language.name.capitalize()


def _known(tag: str) -> Language | None:
    primary = tag.partition("-")[0].lower()
    return _languages().get(_ALIASES.get(primary, primary))


@functools.cache
def _languages() -> dict[str, Language]:
    """Lingua's languages by ISO 639-1, in the order of their names."""
    languages = sorted(Language.all(), key=lambda language: language.name)
    return {language.iso_code_639_1.name.lower(): language for language in languages}


@functools.cache
def _detector(candidates: frozenset[str]) -> LanguageDetector:
    """`candidates` are names of lingua's languages."""
    return LanguageDetectorBuilder.from_languages(*(getattr(Language, name) for name in sorted(candidates))).build()
