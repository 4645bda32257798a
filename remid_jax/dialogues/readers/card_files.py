"""The files that belong to a benchmark's: the manifest beside it, the character cards that its rows name by their paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from remid_jax.dialogues.manifest_files import manifest_beside
from remid_jax.dialogues.readers.cards import SUFFIXES
from remid_jax.dialogues.readers.rows import rows_of


def benchmark_files(source: str | Path) -> list[Path]:
    """Returns the file `source`, the manifest beside it, if any, and the cards that its rows name.

    Raises:
      UserError: as `named_cards`.
    """
    beside = manifest_beside(source)
    return [Path(source), *([beside] if beside else []), *named_cards(source)]


def named_cards(source: str | Path) -> list[Path]:
    """Returns the cards that the rows of the file `source` name, each once; their paths are relative to its folder.

    A mapping may put a character anywhere, so every text of a row that ends like a card and names a file counts.

    Raises:
      UserError: if `source` cannot be read at all.
    """
    texts = (text for row in rows_of(source, []) for text in _texts(row.value) if text.lower().endswith(SUFFIXES))
    return [
        path for path in dict.fromkeys(Path(source).parent / text for text in texts) if os.path.isfile(path)
    ]  # False, too, of a text too long to be a path


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _texts(below)
