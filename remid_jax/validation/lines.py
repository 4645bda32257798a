"""Lines of the page of validation: paragraphs and tables of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

WIDTH = 120  # of a line of the page


def paragraph(text: str) -> Iterator[str]:
    """Lines of at most `WIDTH` characters, and an empty one."""
    yield from textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    yield ""


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Lines of a Markdown table; numbers are written by `written`."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(written, row))} |"
    yield ""


def written(value: Any) -> str:
    """Returns a cell's text: numbers that are not counts with three digits, - for None."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
