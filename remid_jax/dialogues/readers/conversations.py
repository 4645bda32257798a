"""What every reader gives: a conversation, whatever its file calls the parts; and the checks that all formats share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remid_jax.dialogues.faults import kind
from remid_jax.dialogues.records import Turn

Report = Callable[[str], None]
"""Takes one fault of a row: the field and what is wrong with it."""


@dataclass(frozen=True)
class Conversation:
    """A row as its reader understood it.

    `turns` alternate and hold the golden reply last, if there is one. `id`, `lineage`, `category` and `user_name` are "" where
    the row says nothing, `character` is None; a row names a `lineage`, or `clusters` by their kind, or neither.
    `id_field` and `category_field` are what the format calls them.
    """

    id: str
    lineage: str
    clusters: dict[str, str]
    category: str
    user_persona: str
    user_name: str
    character: dict[str, object] | str | None
    turns: tuple[Turn, ...]
    id_field: str
    category_field: str


def text_of(value: object, field: str, report: Report, may_be_empty: bool = False) -> str:
    """Returns a text, or "" and reports why it is none."""
    if not isinstance(value, str):
        report(f"{field}: must be a text, not {kind(value)}")
    elif not value.strip() and not may_be_empty:
        report(f"{field}: empty")
    else:
        return value
    return ""


def lineage_of(value: object, report: Report) -> tuple[str, dict[str, str]]:
    """Returns (lineage, clusters by kind) of what a row holds: a text, or an object of a text for each kind of cluster."""
    if not isinstance(value, dict):
        return text_of(value, "lineage", report), {}
    if not value:
        report("lineage: empty")
    for name in value:
        if not re.fullmatch(r"\w[\w -]*", name):
            report(f"lineage: {name!r} is no name of a kind of cluster: use letters and digits, as in user, character")
    return "", {name: text_of(cluster, f"lineage.{name}", report) for name, cluster in sorted(value.items())}


def check_turns(turns: Sequence[tuple[str, Turn]], report: Report) -> None:
    """Reports each of the turns, given with their places, whose speaker had the one before it, too."""
    for (_, before), (place, turn) in itertools.pairwise(turns):
        if turn.speaker == before.speaker:
            report(f"{place}: the {turn.speaker} speaks twice in a row: join these turns into one")
