"""How many of what a benchmark needs, and who meets whom: twelve test categories and training records, kept apart by lineage.

A lineage is a base user with a base character. Users of other languages meet the characters of the test's base meetings, and
dialogues are merged and edited from these meetings' own, so they share its lineage. Fictional characters, and those that
training records are of, have lineages of their own.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from remid_jax.construction.characters import DOMAINS, REAL, Character
from remid_jax.construction.dialogues import OPENINGS
from remid_jax.construction.users import Meeting
from remid_jax.dialogues.faults import meant
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.errors import UserError

BASE, TRAIN = "IDTest", "IDTrain"
TURN_LEVEL, WORD_LEVEL = RPGBENCH.shifts["dialogue"]
_SLUGS = {"Film & Television": "film_television", TURN_LEVEL: "turn_level", WORD_LEVEL: "word_level"}


@dataclasses.dataclass(frozen=True)
class Amounts:
    """What shall be made.

    Attributes:
      categories: of RPGBench; () for all. IDTest, their reference, is always made.
      lineages: of each test category.
      train_lineages: of IDTrain.
      dialogues: records of each lineage in a category, 1 to 3.
    """

    categories: tuple[str, ...]
    lineages: int
    train_lineages: int
    dialogues: int

    def __post_init__(self) -> None:
        for name in self.categories:
            if name not in RPGBENCH.categories:
                known = ", ".join(RPGBENCH.categories)
                raise UserError(f"config.categories: no category {name!r}{meant(name, RPGBENCH.categories)}: choose of {known}")

    @property
    def tests(self) -> list[str]:
        """The test categories, in RPGBench's order."""
        return RPGBENCH.with_references(self.categories)

    @property
    def records(self) -> dict[str, int]:
        """How many records each category shall have."""
        train = {TRAIN: self.train_lineages * self.dialogues} if self.train_lineages else {}
        return train | dict.fromkeys(self.tests, self.lineages * self.dialogues)

    @property
    def characters(self) -> dict[str, int]:
        """How many characters of each kind are needed: "real", and those of fictional categories."""
        return {REAL: self.lineages + self.train_lineages} | {name: self.lineages for name in self.tests if name in DOMAINS}

    def played(self, meeting: Meeting) -> int:
        """Returns how many of a meeting's openings become dialogues: one more than its records where two are to be merged."""
        merges = meeting.category == BASE and TURN_LEVEL in self.tests
        return min(OPENINGS, self.dialogues + 1) if merges else self.dialogues

    def described(self) -> dict[str, Any]:
        """Returns what shall be made, for build.json."""
        return dataclasses.asdict(self) | {"categories": self.tests}


def meetings(amounts: Amounts, cast: Mapping[str, Sequence[Character]], seed: int) -> list[Meeting]:
    """Returns who meets whom; which real characters are the test's is drawn by the seed. Nobody has a persona yet."""
    real = list(cast[REAL])
    random.Random(seed).shuffle(real)
    bases = _own(BASE, real[: amounts.lineages])
    made = bases + _own(TRAIN, real[amounts.lineages :])
    for name in amounts.tests:
        if name in RPGBENCH.shifts["user"]:
            language = RPGBENCH.categories[name].language or "en"
            made += [
                dataclasses.replace(base, id=f"{slug(name)}-{number}", category=name, language=language)
                for number, base in enumerate(bases, 1)
            ]
        elif name in DOMAINS:
            made += _own(name, cast[name])
    return made


def pairs_to_merge(count: int, dialogues: int) -> list[tuple[int, int]]:
    """Returns which two of `count` dialogues of a meeting are merged, for each of its `dialogues` merged records.

    >>> pairs_to_merge(3, 2)
    [(0, 1), (0, 2)]
    """
    return list(itertools.combinations(range(count), 2))[:dialogues]


def slug(category: str) -> str:
    """Returns how ids call a category.

    >>> slug("Film & Television"), slug("german")
    ('film_television', 'german')
    """
    return _SLUGS.get(category, category.lower())


def _own(category: str, characters: Sequence[Character]) -> list[Meeting]:
    names = [f"{slug(category)}-{number}" for number in range(1, len(characters) + 1)]
    return [Meeting(name, category, name, "en", character) for name, character in zip(names, characters, strict=True)]
