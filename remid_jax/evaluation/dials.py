"""Dials of an evaluation: which categories they add, and of which of the chosen records these are made.

A dial's records are of the lineages that were chosen of the category it begins from, so that both are of the same number and
paired; lineages of which a record is too long leave all settings alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from remid_jax.dialogues.dials.categories import Placed, placed, records_of, with_dials
from remid_jax.dialogues.dials.spelling import Dial
from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.dialogues.records import Benchmark, Record

TooLong = Callable[[Sequence[Record]], dict[str, int]]
"""{record: tokens} of those among records that are too long."""


def dialled(benchmark: Benchmark, dials: Sequence[Dial], categories: Sequence[str], seed: int) -> Benchmark:
    """Returns the benchmark with the categories of dials in its manifest, and the records that are evaluated or that dials use.

    Raises:
      UserError: a name among `categories` is none, or a dial does not fit the benchmark.
    """
    known = benchmark.manifest.categories
    raise_all([
        f"config.benchmark.categories: {name!r} is no category of the manifest"
        + (meant(name, known) or f": the categories are {', '.join(known)}")
        for name in categories
        if name not in known
    ])  # fmt: skip
    of_dials = placed(dials, benchmark)
    kept = {*evaluated(benchmark, of_dials, categories), *(name for of_dial in of_dials for name in of_dial.needed)}
    whole = with_dials(benchmark, of_dials, seed)
    return dataclasses.replace(whole, test={name: members for name, members in benchmark.test.items() if name in kept})


def evaluated(benchmark: Benchmark, dials: Sequence[Placed], categories: Sequence[str]) -> Mapping[str, list[Record]]:
    """Returns the records of those of the benchmark's own categories that are evaluated: all, or `categories`, what they are
    compared with, and what dials begin from."""
    named = (*categories, *(of_dial.base for of_dial in dials)) if categories else ()
    return {name: benchmark.test[name] for name in benchmark.manifest.with_references(named) if name in benchmark.test}


def dialled_records(
    of_dial: Placed, benchmark: Benchmark, base: Sequence[Record], seed: int, too_long: TooLong
) -> tuple[list[Record], dict[str, int]]:
    """Returns the records of a dial's category, and {record: tokens} of those that are too long for it.

    `base` are the chosen records of the category that it begins from.

    Raises:
      UserError: as `records_of`.
    """
    lineages = {record.lineage for record in base}
    pool = {name: [record for record in benchmark.test[name] if record.lineage in lineages] for name in of_dial.needed}
    pool[of_dial.base] = list(base)
    left_out: dict[str, int] = {}
    for name in of_dial.needed[1:]:
        left_out |= too_long(pool[name])
    torn = {record.lineage for members in pool.values() for record in members if record.id in left_out}
    kept = {name: [record for record in members if record.lineage not in torn] for name, members in pool.items()}
    members = records_of(of_dial, kept, benchmark.train, seed)
    return members, left_out | too_long(members)
