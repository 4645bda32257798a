"""In which language replies are: a policy that answers a German user in English has shifted its language.

Reports print the share (docs/protocol.md, rule 16).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

from remid_jax.dialogues.records import LANGUAGES


class LanguageShare(NamedTuple):
    """The share of texts in the language asked for (None without texts), and each text's language (None: undetectable)."""

    share: float | None
    detected: list[str | None]


def language_share(texts: Sequence[str], language: str) -> LanguageShare:
    """How many of `texts` are in `language`, one of the six of the benchmark (a value of records.LANGUAGES, such as "German").

    Only these six are told apart, so a text in a seventh counts as one of them. Undetectable texts (digits, signs) count as
    other. The same texts give the same answer in every process.
    """
    if language not in LANGUAGES.values():
        raise ValueError(f"language {language!r} is not one of {sorted(set(LANGUAGES.values()))}")
    found = [_detector().detect_language_of(text) for text in texts]
    detected = [None if hit is None else hit.name.capitalize() for hit in found]
    return LanguageShare(detected.count(language) / len(detected) if detected else None, detected)


@functools.cache
def _detector() -> LanguageDetector:
    names = dict.fromkeys(LANGUAGES.values())
    return LanguageDetectorBuilder.from_languages(*(getattr(Language, name.upper()) for name in names)).build()
