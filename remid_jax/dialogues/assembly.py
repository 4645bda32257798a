"""From conversations to a benchmark: characters and names are filled in, dialogues cut, categories looked up, sizes checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import kind, meant, raise_all
from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.manifest_files import unfilled_manifest
from remid_jax.dialogues.names import fill_names, in_texts, wants_character
from remid_jax.dialogues.readers.cards import SUFFIXES, Card, read_card
from remid_jax.dialogues.readers.conversations import Conversation, Report
from remid_jax.dialogues.records import Benchmark, Record, Turn, character_text
from remid_jax.errors import UserError

UNTAGGED = "all"  # the category of rows that name none, where no manifest names one
NO_CHARACTER = "missing: add it (a chat has it as system message), or name a character card for all rows"


@dataclass(frozen=True)
class _Entry:
    """A row: where it stands, its tag ("": none), what its format calls that, whether it ends with the user in place of a
    golden reply, and its records, without their category."""

    where: str
    tag: str
    field: str
    open_ended: bool
    records: tuple[Record, ...] | None  # None: the row is faulty, and counts as one of its category nevertheless


class Assembly:
    """Collects the conversations of a source, and the faults of those that are not fit.

    `path` is the source's file, None for objects; `manifest` the one that the user or a file beside the source gives;
    `card` the character of rows that hold none.
    """

    def __init__(self, name: str, path: Path | None, manifest: Manifest | None, card: Card | None, every_reply: bool):
        self.name, self.path, self.manifest, self.card, self.every_reply = name, path, manifest, card, every_reply
        self.faults: list[str] = []
        self._entries: list[_Entry] = []
        self._places: dict[str, str] = {}
        self._cards: dict[Path, Card] = {}
        self._kinds: tuple[list[str], str] | None = None  # of clusters, and the row that named them first

    def add(self, conversation: Conversation, place: str, where: str, faults_before: int) -> None:
        """Takes a row found at `place`, named `where` in its faults; it is faulty if faults came since `faults_before`."""

        def report(fault: str) -> None:
            self.faults.append(f"{where}: {fault}")

        identity = conversation.id or str(len(self._entries) + 1)
        if identity in self._places:
            number = "" if conversation.id else f"missing, and its number {identity!r} is "
            report(f"{conversation.id_field}: {number}already used at {self._places[identity]}")
        self._places.setdefault(identity, place)
        card = self._character(conversation.character, report)
        turns, persona, character = self._named(conversation, card, report)
        records = None
        if len(self.faults) == faults_before:
            cut = list(_replies(turns) if self.every_reply else [(turns, "")])
            records = tuple(
                Record(
                    id=identity + suffix,
                    user_persona=persona,
                    agent_character=character,
                    dialogue=until[:-1] if until[-1].speaker == "agent" else until,
                    golden=until[-1].text if until[-1].speaker == "agent" else "",
                    category="",
                    lineage=conversation.lineage or identity,
                    clusters=conversation.clusters,
                )
                for until, suffix in cut
            )
        self._check_kinds(conversation.clusters, place, report)
        open_ended = bool(conversation.turns) and conversation.turns[-1].speaker == "user"
        self._entries.append(_Entry(where, conversation.category, conversation.category_field, open_ended, records))

    def ask_for_golden(self) -> None:
        """Puts before the faults of its rows how a category is taken that has no golden reply."""
        tags = {entry.tag: True for entry in self._entries}
        tags |= {entry.tag: False for entry in self._entries if not entry.open_ended}
        if bare := [f" of {tag!r}" if tag else "" for tag, is_bare in tags.items() if is_bare]:
            fault = f"no record{' and none'.join(bare)} has a golden reply"
            self.faults.insert(0, f"{self.name}: {fault}: give them one, or set config.benchmark.golden_optional=True")

    def _check_kinds(self, clusters: Mapping[str, str], place: str, report: Report) -> None:
        """Reports a row whose lineage names other kinds of clusters than the first row's."""
        here = sorted(clusters)
        kinds, first = self._kinds = self._kinds or (here, place)
        if here != kinds:
            named = [", ".join(of) or "no kind of cluster" for of in (here, kinds)]
            report(f"lineage: names {named[0]}, and {named[1]} at {first}: name the same in all records")

    def benchmark(self, categories: Sequence[str]) -> Benchmark:
        """Returns the benchmark of all rows, or of `categories` and the references that they need."""
        manifest = self._resolved(UNTAGGED)
        chosen = self._chosen(manifest, categories)
        split, counts = self._split(manifest, UNTAGGED)
        needed = {*categories} | {manifest.categories[name].reference for name in chosen if counts[name]}
        if self._entries or not self.faults:
            field = self._entries[0].field if self._entries else "subset_tag"
            for name in chosen:
                if counts[name] < 2 and (counts[name] or name in needed):
                    fault = f"{field}: {name!r} has {counts[name]} record(s), an estimate needs at least 2"
                    self.faults.append(f"{self.name}: {fault}")
        if not self.faults and not any(counts[name] for name in chosen):
            self.faults.append(f"{self.name}: holds no test record")
        raise_all(self.faults)
        train = split[manifest.train] if manifest.train is not None else []
        return Benchmark(train, {name: split[name] for name in chosen if split[name]}, manifest)

    def training(self) -> list[Record]:
        """Returns the training records: those with the manifest's tag for them, or all rows if none has a tag."""
        untagged = (self.manifest or RPGBENCH).train
        manifest = self._resolved(untagged)
        if manifest.train is None:
            self.faults.append(f'{self.name}: the manifest names no training records: add "train": their tag')
        raise_all(self.faults)
        assert manifest.train is not None
        return self._split(manifest, untagged)[0][manifest.train]

    def records(self) -> list[Record]:
        """Returns all records, in the order of the manifest's categories, training records first, however few there are."""
        manifest = self._resolved(UNTAGGED)
        split, _ = self._split(manifest, UNTAGGED)
        raise_all(self.faults)
        return [record for of_tag in split.values() for record in of_tag]

    def _character(self, value: object, report: Report) -> Card:
        """The character of a row and its name; an empty one where there is none to be had."""
        if value is None and self.card is not None:
            return self.card
        if isinstance(value, str) and value.lower().endswith(SUFFIXES):
            path = Path(value) if self.path is None else self.path.parent / value
            try:
                return self._cards.setdefault(path, self._cards.get(path) or read_card(path))
            except UserError as error:
                report(f"agent_character: {error}")
        elif value is None:
            report(f"agent_character: {NO_CHARACTER}")
        elif not isinstance(value, dict):
            cards = " or ".join(SUFFIXES)
            report(f"agent_character: must be an object, or the path of a character card ({cards}), not {kind(value)}")
        elif not character_text(value):
            report("agent_character: empty")
        else:
            name = value.get("name")
            return Card(value, name.strip() if isinstance(name, str) else "")
        return Card({}, "")

    def _named(
        self, row: Conversation, card: Card, report: Report
    ) -> tuple[tuple[Turn, ...], str, dict[str, Any]]:  # fmt: skip
        """The turns, the persona and the character with names where `{{char}}` and `{{user}}` stood."""
        nameless: set[str] = set()

        def fill(text: str) -> str:
            if not card.name and card.character and wants_character(text):
                nameless.add(text)
            return fill_names(text, card.name, row.user_name)

        turns = tuple(turn._replace(text=fill(turn.text)) for turn in row.turns)
        persona, character = fill(row.user_persona), in_texts(card.character, fill)
        if nameless:
            report('agent_character: has no "name" to stand for {{char}}: add one')
        return turns, persona, character

    def _resolved(self, untagged: str | None) -> Manifest:
        """The manifest that the rows follow, and the faults of those that it does not know; `untagged` is the tag of rows
        without one, unless the manifest has exactly one category."""
        tags: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            tags.setdefault(entry.tag, []).append(entry)
        bare = tags.pop("", [])
        if self.manifest is None and not tags:
            return RPGBENCH if untagged == RPGBENCH.train else Manifest({UNTAGGED: Category(UNTAGGED)})
        manifest = self.manifest or RPGBENCH
        if tags or (untagged != manifest.train and len(manifest.categories) > 1):
            names = ", ".join(_tags(manifest))
            missing = [f"{entry.where}: {entry.field}: missing: name one of {names}" for entry in bare if entry.records]
            self.faults += missing
        strange = [tag for tag in tags if tag not in _tags(manifest)]
        if strange and self.manifest is not None:
            for tag in strange:
                first = tags[tag][0]
                known = f"{meant(tag, _tags(manifest)) or ', whose categories are ' + ', '.join(manifest.categories)}"
                many = f" (and of {len(tags[tag]) - 1} more)" if len(tags[tag]) > 1 else ""
                self.faults.append(f"{first.where}: {first.field}: {tag!r}{many} is no category of the manifest{known}")
        elif strange:
            first = tags[strange[0]][0]
            named = ", ".join(f"{tag!r}{meant(tag, _tags(RPGBENCH))}" for tag in strange)
            verb = "are no categories" if len(strange) > 1 else "is no category"
            mend = f"correct it, or say what the categories are: {unfilled_manifest(tags, self.path)}"
            self.faults.append(f"{first.where}: {first.field}: {named} {verb} of RPGBench: {mend}")
        return manifest

    def _split(self, manifest: Manifest, untagged: str | None) -> tuple[dict[str, list[Record]], dict[str, int]]:
        """The records of each tag of the manifest, and their number with faulty rows counted as one."""
        only = next(iter(manifest.categories)) if len(manifest.categories) == 1 else untagged
        default = untagged if untagged == manifest.train else only
        split: dict[str, list[Record]] = {tag: [] for tag in _tags(manifest)}
        counts = dict.fromkeys(split, 0)
        for entry in self._entries:
            tag = entry.tag or default
            if tag in split:
                split[tag] += [record.in_category(tag) for record in entry.records or ()]
                counts[tag] += 1 if entry.records is None else len(entry.records)
        return split, counts

    def _chosen(self, manifest: Manifest, categories: Sequence[str]) -> list[str]:
        """The categories to keep, and the faults of names that are none."""
        for name in categories:
            if name not in manifest.categories:
                near = meant(name, manifest.categories) or f": the categories are {', '.join(manifest.categories)}"
                self.faults.append(f"categories: {name!r} is no category of the manifest{near}")
        return manifest.with_references(categories)


def _tags(manifest: Manifest) -> list[str]:
    return [*([] if manifest.train is None else [manifest.train]), *manifest.categories]


def _replies(turns: Sequence[Turn]) -> Iterator[tuple[tuple[Turn, ...], str]]:
    """The dialogue up to and with each reply to the user, and what its record's id ends with; a last turn of the user, too."""
    number = 0
    for i, turn in enumerate(turns):
        last = i == len(turns) - 1
        if (turn.speaker == "agent" and i > 0) or (turn.speaker == "user" and last):
            number += 1
            yield tuple(turns[: i + 1]), f" turn {number}"
