"""Categories that dials make of a benchmark, beside its own: what they are compared with, and their records.

Every dial adds a category under its own name, whose shift is the dial's curve. It is compared with the category that it begins
from. Dials that pick records (`mixture`, `language`, `edited` of a category) go by lineage: a lineage is taken over whole, with
its golden replies, which stay right since contexts and replies go together; lineages that are not in both categories are left
out. As a share grows, lineages are taken over one after the other in a seeded order, so that settings of one curve differ as
little as they can. Picked records keep their ids: what is known of them is known under every setting.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from remid_jax.dialogues.dials import texts
from remid_jax.dialogues.dials.edits import Edits, read_edits
from remid_jax.dialogues.dials.spelling import SETTING, Dial, Step
from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.dialogues.manifest import Category, Manifest, Setting
from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.errors import UserError

PICKING = ("mixture", "language", "edited")
Pool = Mapping[str, Sequence[Record]]


@dataclasses.dataclass(frozen=True)
class Placed:
    """A dial on a benchmark: the category that it begins from, that which each step picks from, and edits of files.

    `sources` are the categories by step, None for a step that picks none; `edits` those of a step that reads a file.
    """

    dial: Dial
    base: str
    sources: tuple[str | None, ...]
    edits: tuple[Edits | None, ...]

    @property
    def needed(self) -> list[str]:
        """The categories whose records it uses."""
        return [self.base, *(name for name in self.sources if name is not None)]

    @functools.cached_property
    def no_golden(self) -> str | None:
        """Why golden replies do not stay right, None where they do."""
        for step, edits in zip(self.dial.steps, self.edits, strict=True):
            if step.name == "exchanged":
                return f"the golden replies answer the {step.word} that {step.written()} took away"
            if edits is not None and not edits.golden:
                return f"{step.written()} has no golden replies to its edited contexts"
        return None


def placed(dials: Sequence[Dial], benchmark: Benchmark) -> list[Placed]:
    """Returns the dials with what they use of a benchmark.

    Raises:
      UserError: one line with every fault: a name that is no category, a language that no category or several are in, a dial
        that begins from a category without records or from none, edits of other records.
    """
    own = {name: category for name, category in benchmark.manifest.categories.items() if category.dial is None}
    undialled = dataclasses.replace(benchmark, manifest=Manifest(own, benchmark.manifest.train))
    faults: list[str] = []
    result = []
    for dial in dials:
        try:
            result.append(_placed(dial, undialled))
        except UserError as fault:
            faults.append(str(fault))
    raise_all(faults)
    return result


def with_dials(benchmark: Benchmark, dials: Sequence[Placed], seed: int) -> Benchmark:
    """Returns the benchmark with the categories of dials in its manifest; `records_of` makes their records."""
    known = dict(benchmark.manifest.categories)
    for of_dial in dials:
        name = str(of_dial.dial)
        if name in known:
            raise UserError(f"{SETTING}: {name!r} is a category of the benchmark already: rename that one")
        edits = next((edits.fingerprint for edits in of_dial.edits if edits is not None), None)
        setting = Setting(of_dial.dial.curve, of_dial.dial.position, seed, of_dial.no_golden, edits)
        known[name] = Category(name, of_dial.dial.curve, of_dial.base, _language(of_dial, benchmark.manifest), setting)
    return dataclasses.replace(benchmark, manifest=Manifest(known, benchmark.manifest.train))


def records_of(of_dial: Placed, pool: Pool, train: Sequence[Record], seed: int) -> list[Record]:
    """Returns the records of a dial's category, made of those of a `pool` by category and of training records.

    Raises:
      UserError: fewer than two records are left, or there are too few training records.
    """
    views = {name: list(pool[name]) for name in of_dial.needed}
    chosen = views[of_dial.base]
    for step, source, edits in zip(of_dial.dial.steps, of_dial.sources, of_dial.edits, strict=True):
        if source is not None:
            chosen = _picked(chosen, views[source], 1.0 if step.number is None else step.number, seed)
            if len(chosen) < 2:
                raise UserError(
                    f"{SETTING}: {str(of_dial.dial)!r}: {len(chosen)} records of {of_dial.base} have a lineage that {source} "
                    "has, too, and an estimate needs 2: name what they were made from as lineage (docs/formats.md, Lineage)"
                )
            continue
        change = _change_of(step, edits, train, seed)
        views, chosen = {name: change(members) for name, members in views.items()}, change(chosen)
    return [record.in_category(str(of_dial.dial)) for record in chosen]


def _change_of(
    step: Step, edits: Edits | None, train: Sequence[Record], seed: int
) -> Callable[[Sequence[Record]], list[Record]]:
    written = step.written()
    if edits is not None:
        return lambda records: edits.applied(records, written)
    if step.name == "turns":
        assert step.number is not None
        return lambda records: texts.turns(records, train, int(step.number or 1), seed, written)
    if step.name == "exchanged":
        return lambda records: texts.exchanged(records, train, step.word, seed, written)
    share = 1.0 if step.number is None else step.number
    return lambda records: [texts.shortened(record, step.word, share, written) for record in records]


def _picked(base: Sequence[Record], source: Sequence[Record], share: float, seed: int) -> list[Record]:
    """The records of `source` for a share of the lineages in both, to the nearest number, halves up; of `base` for others."""
    here, there = ([record.lineage for record in records] for records in (base, source))
    both = set(here) & set(there)
    shifted = set(texts.seeded_order(seed, "mixture", both)[: math.floor(share * len(both) + 0.5)])
    lineages: dict[str, list[Record]] = {lineage: [] for lineage in here if lineage in both}
    for records, takes in ((base, lambda lineage: lineage not in shifted), (source, lambda lineage: lineage in shifted)):
        for record in records:
            if record.lineage in lineages and takes(record.lineage):
                lineages[record.lineage].append(record)
    return [record for records in lineages.values() for record in records]


def _placed(dial: Dial, benchmark: Benchmark) -> Placed:
    manifest = benchmark.manifest
    edits = tuple(_edits_of(step, benchmark) for step in dial.steps)
    sources = tuple(
        None if read is not None else _source_of(step, dial, manifest)
        for step, read in zip(dial.steps, edits, strict=True)
    )  # fmt: skip
    base = _base_of(dial, sources, manifest)
    for name in dict.fromkeys((base, *(source for source in sources if source is not None))):
        if not benchmark.test.get(name):
            raise UserError(f"{SETTING}: {str(dial)!r}: the benchmark has no record of category {name!r}: add some")
    if base in sources:
        raise UserError(f"{SETTING}: {str(dial)!r}: {base!r} would be mixed with itself: name a category that shifted")
    return Placed(dial, base, sources, edits)


def _edits_of(step: Step, benchmark: Benchmark) -> Edits | None:
    """The edits of a step that names a file, None for another."""
    if step.name != "edited" or step.word in benchmark.manifest.categories:
        return None
    if not Path(step.word).is_file():
        near = meant(step.word, benchmark.manifest.categories)
        raise UserError(f"{SETTING}: {step.written()}: {step.word!r} is neither a category{near} nor a file of edits")
    return read_edits(step.word, [record for records in benchmark.test.values() for record in records])


def _source_of(step: Step, dial: Dial, manifest: Manifest) -> str | None:
    """The category that a step picks records from."""
    if step.name not in PICKING:
        return None
    if step.name == "language":
        return _of_language(step.word, dial, manifest)
    if step.word not in manifest.categories:
        near = meant(step.word, manifest.categories) or f": the categories are {', '.join(manifest.categories)}"
        raise UserError(f"{SETTING}: {str(dial)!r}: {step.word!r} is no category{near}")
    return step.word


def _of_language(tag: str, dial: Dial, manifest: Manifest) -> str:
    """The one category that is compared with one of another language and is itself in this one."""
    languages = {
        name: category.language
        for name, category in manifest.categories.items()
        if category.language and category.reference and manifest.categories[category.reference].language != category.language
    }
    here = [name for name, language in languages.items() if language.lower() == tag.lower()]
    if len(here) == 1:
        return here[0]
    if here:
        raise UserError(f"{SETTING}: {str(dial)!r}: {', '.join(here)} are in {tag!r}: name one, as mixture({here[0]}, 1)")
    known = ", ".join(dict.fromkeys(languages.values())) or "none: say in the manifest which language each category is in"
    raise UserError(f"{SETTING}: {str(dial)!r}: no category that shifted is in {tag!r}: languages are {known}")


def _base_of(dial: Dial, sources: Sequence[str | None], manifest: Manifest) -> str:
    if dial.base:
        if dial.base not in manifest.categories:
            near = meant(dial.base, manifest.categories) or f": the categories are {', '.join(manifest.categories)}"
            raise UserError(f"{SETTING}: {str(dial)!r}: {dial.base!r} is no category{near}")
        return dial.base
    first = next((source for source in sources if source is not None), None)
    if first is not None:
        reference = manifest.categories[first].reference
        if reference is not None:
            return reference
        raise UserError(f"{SETTING}: {str(dial)!r}: {first} is compared with none: name a category that shifted")
    references = manifest.references or tuple(manifest.categories)
    if len(references) == 1:
        return references[0]
    raise UserError(
        f"{SETTING}: {str(dial)!r}: may begin from {', '.join(references)}: say from which, as {f'{dial} on {references[0]}'!r}"
    )


def _language(of_dial: Placed, manifest: Manifest) -> str | None:
    """The language of a dial's category; None where its records may be in several."""
    language = manifest.categories[of_dial.base].language
    for step, source in zip(of_dial.dial.steps, of_dial.sources, strict=True):
        if source is None:
            continue
        picked, share = manifest.categories[source].language, step.number
        if share in (None, 1):
            language = picked
        elif share != 0 and picked != language:
            return None
    return language
