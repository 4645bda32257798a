"""What a benchmark measures: its categories, what shifted in each, in which language, and what each is compared with.

RPGBench's manifest is built in. Another is a JSON file (docs/formats.md) or made in Python. "Shift" is any name: attribution
alone needs the three factors `user`, `character` and `dialogue`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.dialogues.languages import tag_named

_ISO_639_1 = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es
    et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki
    kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no
    nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta
    te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
"""Languages of two letters, so that a country's code ("jp") is not taken for a language's ("ja")."""
_TAG = re.compile(  # RFC 5646; no language has a registered subtag of more than three letters
    r"""[a-z]{2,3}(-[a-z]{3}){0,3}      # language, extended
    (-[a-z]{4})?                        # script
    (-([a-z]{2}|[0-9]{3}))?             # region
    (-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*  # variants
    (-[a-wy-z0-9](-[a-z0-9]{2,8})+)*    # extensions
    (-x(-[a-z0-9]{1,8})+)?              # private
    |x(-[a-z0-9]{1,8})+""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Setting:
    """What a dial (`dialogues.dials`) is set to in a category that it makes.

    Categories of one `curve` differ in `position` alone, which is None for a dial that has but one setting. `seed` is that of
    its draws; `no_golden` says why golden replies do not stay right, None where they do. `edits` is the sha256 of edits that
    came from a file, None without any.
    """

    curve: str
    position: float | None = None
    seed: int = 0
    no_golden: str | None = None
    edits: str | None = None


@dataclass(frozen=True)
class Category:
    """A category of a benchmark.

    `shift` names what differs from the category `reference`, with which it is compared; a category without both is a reference
    itself, or stands alone. `language` is the BCP 47 tag of what its users and replies are written in, None if that is unknown
    or mixed. `dial` is the setting that made the category of others; None for one that its records name.
    """

    name: str
    shift: str | None = None
    reference: str | None = None
    language: str | None = None
    dial: Setting | None = None


@dataclass(frozen=True)
class Manifest:
    """The categories of a benchmark, by name, in the order of every table; `train` is the tag of its training records, if any.

    Raises:
      UserError: naming all that contradicts itself: see `manifest_faults`.
    """

    categories: Mapping[str, Category]
    train: str | None = None

    def __post_init__(self) -> None:
        raise_all([f"manifest: {fault}" for fault in manifest_faults(self.categories, self.train)])
        object.__setattr__(self, "categories", MappingProxyType(dict(self.categories)))

    @functools.cached_property
    def shifts(self) -> dict[str, tuple[str, ...]]:
        """The categories of each shift; shifts in order of first occurrence."""
        found: dict[str, list[str]] = {}
        for name, category in self.categories.items():
            if category.shift is not None:
                found.setdefault(category.shift, []).append(name)
        return {shift: tuple(names) for shift, names in found.items()}

    @functools.cached_property
    def references(self) -> tuple[str, ...]:
        """The categories that others are compared with."""
        named = {category.reference for category in self.categories.values()}
        return tuple(name for name in self.categories if name in named)

    @functools.cached_property
    def languages(self) -> tuple[str, ...]:
        """The tags of all categories, each once."""
        return tuple(dict.fromkeys(c.language for c in self.categories.values() if c.language is not None))

    def language_of(self, category: str) -> str | None:
        """Returns the tag of a category's language, None if it has none.

        Training records speak that of the categories that others are compared with, if these have but one.
        """
        if category in self.categories:
            return self.categories[category].language
        languages = {self.categories[name].language for name in self.references or self.categories}
        return languages.pop() if category == self.train and len(languages) == 1 else None

    def with_references(self, names: Collection[str]) -> list[str]:
        """Returns the categories of these names, and those that they are compared with, in order; all for no names."""
        kept: set[str] = set()
        for name in names:
            at: str | None = name
            while at in self.categories and at not in kept:
                assert at is not None
                kept.add(at)
                at = self.categories[at].reference
        return [name for name in self.categories if name in kept or not names]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of a manifest file."""
        categories = {name: asdict(category) for name, category in self.categories.items()}
        for category in categories.values():
            del category["name"]
            if category["dial"] is None:
                del category["dial"]
        return {"categories": categories} | ({"train": self.train} if self.train is not None else {})

    def __reduce__(self) -> tuple[Any, ...]:
        return Manifest, (dict(self.categories), self.train)  # a read-only view cannot be copied or pickled


def manifest_faults(categories: Mapping[str, Category], train: str | None = None) -> list[str]:
    """Returns what is wrong with the categories, each with its place.

    A shift without a reference or the reverse; a reference that is no category, itself, or leads back to where it began; a
    language that is no BCP 47 tag; a name that is blank or the training records' tag; no category at all.
    """
    if not categories:
        return ["categories: empty: name at least one"]
    faults = []
    if train is not None and (not train.strip() or train in categories):
        faults.append(f"train: {train!r} {'is a category, too' if train.strip() else 'is blank'}: give it a name of its own")
    for name, category in categories.items():
        at = f"categories.{name}"
        if not name.strip():
            faults.append(f"{at}: a name is blank")
        if "/" in name:
            faults.append(f"{at}: a name holds '/', which score tables put between names: write it otherwise")
        if category.name != name:
            faults.append(f"{at}: the category calls itself {category.name!r}")
        if category.shift is not None and not category.shift.strip():
            faults.append(f"{at}.shift: blank: name what shifted, or null")
        elif category.shift is not None and category.reference is None:
            faults.append(f"{at}: has the shift {category.shift!r} but no reference: name the category it is compared with")
        elif category.shift is None and category.reference is not None:
            faults.append(f"{at}: has the reference {category.reference!r} but no shift: name what shifted")
        if category.reference == name:
            faults.append(f"{at}.reference: is the category itself")
        elif category.reference is not None and category.reference not in categories:
            near = meant(category.reference, [other for other in categories if other != name])
            faults.append(f"{at}.reference: {category.reference!r} is no category{near}")
        if category.language is not None and not is_tag(category.language):
            tag = category.language.replace("_", "-")
            right = tag if is_tag(tag) else tag_named(category.language)
            hint = f" (did you mean {right!r}?)" if right else ', such as "de", "ar" or "zh-Hans"'
            faults.append(f"{at}.language: {category.language!r} is no BCP 47 tag{hint}")
    return faults + [f"categories: references go round in a circle: {' -> '.join(circle)}" for circle in _circles(categories)]


def is_tag(language: str) -> bool:
    """Whether a text has the form of a BCP 47 tag, and a language that exists where that has two letters."""
    primary = language.partition("-")[0].lower()
    return bool(_TAG.fullmatch(language)) and (len(primary) != 2 or primary in _ISO_639_1.split())


def _circles(categories: Mapping[str, Category]) -> list[list[str]]:
    """The circles of references of more than one category, each once."""
    circles: list[list[str]] = []
    for name in categories:
        path = [name]
        after = categories[name].reference
        while after is not None and after in categories and after not in path:
            path.append(after)
            after = categories[after].reference
        if after == name and len(path) > 1 and not any(name in circle for circle in circles):
            circles.append([*path, name])
    return circles


def _rpgbench() -> Manifest:
    languages = {"german": "de", "spanish": "es", "chinese": "zh", "japanese": "ja", "korean": "ko"}
    shifts = (
        ("user", tuple(languages)),
        ("character", ("Literature", "Film & Television", "Theater", "Gaming")),
        ("dialogue", ("TurnLevelComposition", "WordLevelComposition")),
    )
    shifted = [Category(n, shift, "IDTest", languages.get(n, "en")) for shift, names in shifts for n in names]
    return Manifest({c.name: c for c in (Category("IDTest", language="en"), *shifted)}, train="IDTrain")


RPGBENCH = _rpgbench()
"""The categories of RPGBench (arXiv 2512.17270): five languages of users, four kinds of characters, two of dialogues."""
