"""Where what is known of a character is looked up, besides a model: any `Retriever`; ours ranks passages of local files."""

from __future__ import annotations

import collections
import math
import re
from pathlib import Path
from typing import Protocol

from remid_jax.errors import UserError
from remid_jax.files import read_text

SUFFIXES = (".txt", ".md")
LONGEST = 1200  # characters of a passage
_SATURATION, _LENGTH_WEIGHT = 1.5, 0.75  # the usual k1 and b of BM25
_SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # kana, Chinese characters, hangul: each sign is a word
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")


class Retriever(Protocol):
    """Whoever finds passages."""

    def passages(self, query: str, count: int) -> list[str]:
        """Returns at most `count` passages that have to do with a query, the nearest first."""
        ...


class LocalFiles:
    """Ranks the paragraphs of a folder's .txt and .md files, and of its subfolders', by BM25.

    Raises:
      UserError: if the folder has no such file, or one cannot be read.
    """

    def __init__(self, folder: str | Path):
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if not paths:
            raise UserError(f"{folder}: holds no {' or '.join(SUFFIXES)} file: name a folder of texts to look characters up in")
        self._passages = [passage for path in paths for passage in passages_of(read_text(path))]
        self._words = [collections.Counter(_words(passage)) for passage in self._passages]
        self._lengths = [words.total() for words in self._words]
        self._mean_length = sum(self._lengths) / max(1, len(self._lengths))
        self._holders = collections.Counter(word for words in self._words for word in words)

    def passages(self, query: str, count: int) -> list[str]:
        """Returns at most `count` passages that share words with the query, the best first."""
        scores = [self._score(set(_words(query)), number) for number in range(len(self._passages))]
        ranked = sorted(range(len(scores)), key=lambda number: (-scores[number], number))
        return [self._passages[number] for number in ranked[:count] if scores[number] > 0]

    def _score(self, query: set[str], number: int) -> float:
        words, relative_length = self._words[number], self._lengths[number] / self._mean_length
        weight = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * relative_length)
        return sum(
            self._rarity(word) * words[word] * (_SATURATION + 1) / (words[word] + weight) for word in query if word in words
        )

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (len(self._passages) - holders + 0.5) / (holders + 0.5))


def passages_of(text: str) -> list[str]:
    """Returns the paragraphs of a text; longer ones are cut between words after at most `LONGEST` characters."""
    cut = re.compile(rf".{{1,{LONGEST}}}(?:\s|$)|.{{{LONGEST}}}", re.DOTALL)
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text)]
    return [piece.strip() for paragraph in paragraphs for piece in cut.findall(paragraph) if piece.strip()]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
