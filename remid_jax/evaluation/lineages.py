"""Whether lineages fit the records: too fine and intervals are too narrow, too coarse and there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from remid_jax.dialogues.records import Record

TEXTS: Mapping[str, Callable[[Record], str]] = {
    "character": lambda record: record.character_text,
    "user persona": lambda record: record.user_persona.strip(),
}


def lineage_warnings(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """Returns a sentence for each way in which the lineages of {category: records} are too fine or too coarse.

    A text that all records of a category share is the condition under which that category is measured, so it ties none of them
    together; an empty one says nothing.
    """
    everyone = [record for members in records.values() for record in members]
    return [sentence for name, text in TEXTS.items() if (sentence := _too_fine(name, text, records))] + (
        _too_coarse(everyone) or _alone(records)
    )


def _alone(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """Categories of which all records have one cluster of a kind."""
    alone: dict[str, list[str]] = {}
    for name, members in records.items():
        for kind in _alone_in(members):
            alone.setdefault(kind, []).append(name)
    return [f"no interval for {', '.join(names)}: all records there have one {kind}" for kind, names in alone.items()]


def _alone_in(records: Sequence[Record]) -> list[str]:
    """The kinds of clusters of which all these records have the same one."""
    return [kind for kind in _clusters(records[0]) if len({_clusters(record)[kind] for record in records}) == 1]


def _clusters(record: Record) -> Mapping[str, str]:
    return record.clusters or {"lineage": record.lineage}


def _too_fine(name: str, text: Callable[[Record], str], records: Mapping[str, Sequence[Record]]) -> str | None:
    holders: dict[str, list[Record]] = {}
    for members in records.values():
        texts = [text(record) for record in members]
        for record, said in zip(members, texts, strict=True):
            if said and len(set(texts)) > 1:
                holders.setdefault(said, []).append(record)
    parted = {
        said: min(len({_clusters(record)[kind] for record in of}) for kind in _clusters(of[0])) for said, of in holders.items()
    }
    torn = {said: count for said, count in parted.items() if count > 1}
    if not torn:
        return None
    count = sum(len(holders[said]) for said in torn)
    return (
        f"lineages may be too fine, and intervals too narrow: {len(torn)} of {len(holders)} {name}s "
        f"{'stand' if len(torn) > 1 else 'stands'} in up to {max(torn.values())} lineages each ({count} records): name the "
        f"{name.split()[0]} as a cluster (docs/formats.md, Lineage)"
    )


def _too_coarse(records: Sequence[Record]) -> list[str]:
    return [
        f"lineages are too coarse for intervals: all {len(records)} records have one {kind}: "
        + ("name what records were made from one by one" if kind == "lineage" else "leave that kind out of their lineages")
        for kind in _alone_in(records)
    ]
