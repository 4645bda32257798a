"""The card of a benchmark: what it holds, what its gates took out and why, what making it cost."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from remid_jax.files import write_bytes, write_text
from remid_jax.reporting import data_card_figures, drawing, markdown
from remid_jax.reporting.cells import DASH, Cell, Column, Row, Table
from remid_jax.settings import flat

if TYPE_CHECKING:
    from remid_jax.construction.screening import Screening
    from remid_jax.dialogues.manifest import Manifest
    from remid_jax.dialogues.records import Record

CARD, LENGTHS, GATES = "card.md", "card_lengths.png", "card_gates.png"
REASONS = 8
"""Kinds of fault that are listed of a gate, the commonest first."""


def write_card(
    folder: Path, records: Sequence[Record], manifest: Manifest, screening: Screening, account: Mapping[str, Any]
) -> None:
    """Writes card.md and its figures to a folder that exists.

    Args:
      folder: where to.
      records: the benchmark's, training records with `manifest.train` as their category.
      manifest: its categories.
      screening: what the gates kept and rejected.
      account: what was asked and what it cost, as it is printed: name -> number, or who was asked -> name -> number.

    Raises:
      UserError: if they cannot be written.
    """
    by_category = grouped(records, manifest)
    if by_category:
        write_bytes(folder / LENGTHS, drawing.png_bytes(data_card_figures.lengths(by_category)))
    if screening.counts:
        write_bytes(folder / GATES, drawing.png_bytes(data_card_figures.gates(screening.counts)))
    write_text(folder / CARD, "\n".join(_lines(by_category, manifest, screening, account)).rstrip() + "\n")


def grouped(records: Sequence[Record], manifest: Manifest) -> dict[str, list[Record]]:
    """Returns the records of each category that has any: training records, then the manifest's order."""
    by_category: dict[str, list[Record]] = collections.defaultdict(list)
    for record in records:
        by_category[record.category].append(record)
    order = [name for name in (manifest.train, *manifest.categories) if name in by_category]
    return {name: by_category[name] for name in dict.fromkeys((*order, *by_category))}


def _lines(
    by_category: Mapping[str, Sequence[Record]], manifest: Manifest, screening: Screening, account: Mapping[str, Any]
) -> Iterator[str]:
    records = [record for own in by_category.values() for record in own]
    yield "# What this benchmark holds"
    yield ""
    yield (
        f"{_count(len(records), 'record')} in {_count(len(by_category), 'category', 'categories')}, of "
        f"{_count(len(_lineages(records)), 'lineage')}, {_count(len(_characters(records)), 'character')} and "
        f"{_count(len(_users(records)), 'user')}. {_count(len(screening.rejects), 'record')} rejected."
    )
    yield ""
    if by_category:
        yield from _categories(by_category, manifest)
        yield from _lengths(by_category)
        yield from _people(records)
    if screening.counts:
        yield from _gates(screening)
    if account:
        yield from _account(account)


def _categories(by_category: Mapping[str, Sequence[Record]], manifest: Manifest) -> Iterator[str]:
    yield "## Categories"
    yield ""
    columns = (
        Column("shift"),
        Column("language"),
        Column("records"),
        Column("lineages", "records that share a base"),
        Column("characters", "different ones"),
        Column("users", "different personas"),
        Column("turns", "median, the golden reply among them"),
    )
    rows = []
    for name, own in by_category.items():
        category = manifest.categories.get(name)
        shift = "training" if name == manifest.train else (category.shift if category is not None else None)
        counts = (len(own), len(_lineages(own)), len(_characters(own)), len(_users(own)))
        turns = float(np.median([len(record.dialogue) + 1 for record in own]))
        cells = [shift or DASH, manifest.language_of(name) or DASH, *(f"{count:,}" for count in counts), f"{turns:g}"]
        rows.append(Row(_cell(name), [Cell(text) for text in cells]))
    yield from markdown.drawn(Table("categories", columns, rows))
    yield ""


def _lengths(by_category: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    yield "## Lengths"
    yield ""
    yield f"![Lengths by category]({LENGTHS})"
    yield ""
    columns = [Column(name) for name in data_card_figures.PARTS]
    rows = []
    for name, own in by_category.items():
        texts = []
        for length in data_card_figures.PARTS.values():
            low, middle, high = np.quantile([length(record) for record in own], (0, 0.5, 1))
            texts.append(f"{middle:,.0f} ({low:,.0f} to {high:,.0f})")
        rows.append(Row(_cell(name), [Cell(text) for text in texts]))
    yield from markdown.drawn(
        Table("lengths", columns, rows, notes=("Characters: median, and from the shortest to the longest.",))
    )
    yield ""


def _people(records: Sequence[Record]) -> Iterator[str]:
    yield "## Characters"
    yield ""
    counts = collections.Counter(_character(record) for record in records)
    spread = collections.Counter(counts.values())
    yield (
        "Records of one character: "
        + ", ".join(f"{times:,} of {_count(number, 'character')}" for times, number in sorted(spread.items()))
        + "."
    )
    yield ""
    yield "Most often: " + ", ".join(f"{_cell(name)} ({times:,})" for name, times in counts.most_common(REASONS)) + "."
    yield ""


def _gates(screening: Screening) -> Iterator[str]:
    yield "## Gates"
    yield ""
    yield f"![What each gate looked at and rejected]({GATES})"
    yield ""
    yield from markdown.drawn(gates(screening))
    yield ""


def gates(screening: Screening) -> Table:
    """Returns what each gate looked at and rejected, and its commonest reasons."""
    reasons: dict[str, collections.Counter[str]] = {gate: collections.Counter() for gate in screening.counts}
    for reject in screening.rejects:
        reasons[reject.gate][reject.reason] += 1
    rows = []
    for gate, count in screening.counts.items():
        listed = "; ".join(f"{times:,} x {_cell(reason)}" for reason, times in reasons[gate].most_common(REASONS))
        rows.append(Row(gate, [Cell(f"{count['looked_at']:,}"), Cell(f"{count['rejected']:,}"), Cell(listed or DASH)]))
    columns = (Column("looked at"), Column("rejected"), Column("why"))
    note = "A gate looks at what those above it let pass. docs/gates.md says what each asks."
    return Table("What the gates took out", columns, rows, label="gate", notes=(note,))


def _account(account: Mapping[str, Any]) -> Iterator[str]:
    yield "## Requests and costs"
    yield ""
    rows = [Row(_cell(name), [Cell(_cell(value))]) for name, value in flat(account, between=": ").items()]
    yield from markdown.drawn(Table("account", (Column("value"),), rows, label="what"))


def _character(record: Record) -> str:
    """The character's name, or where it has none the beginning of its text."""
    name = record.agent_character.get("name")
    return name if isinstance(name, str) and name.strip() else record.character_text[:40]


def _characters(records: Sequence[Record]) -> set[str]:
    return {record.character_text for record in records}


def _users(records: Sequence[Record]) -> set[str]:
    return {record.user_persona for record in records}


def _lineages(records: Sequence[Record]) -> set[str]:
    return {record.lineage for record in records}


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _cell(value: object) -> str:
    """A value as it stands in a table: on one line, with no mark of a column's end."""
    if value is None:
        return DASH
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "\\|")
