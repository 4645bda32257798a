"""How a dial is written, and what is wrong with one that is not.

    mixture(german, 0.25)      a share of the lineages has the records of another category
    language(de)               all have those of the category whose users write in a language
    edited(PAIRS)              all have edited records: those of a category, or of a file of edits
    turns(3)                   a dialogue of three threads, the record's own the last
    shortened(user, 0.5)       a share of a factor is cut: of a profile words, of a dialogue turns
    without(user)              the whole of it
    exchanged(user)            a factor is that of somebody else

Dials are joined by "+" and turned from left to right: "without(user) + mixture(german, 0.5)". " on NAME" at the end names the
category that they begin from and are compared with: "without(user) on german". A factor is `user`, `character` or `dialogue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.errors import UserError

FACTORS = ("user", "character", "dialogue")
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "mixture": ("category", "share"),
    "language": ("tag",),
    "edited": ("pairs",),
    "turns": ("threads",),
    "shortened": ("factor", "share"),
    "without": ("factor",),
    "exchanged": ("factor",),
}
"""What stands in the brackets of each dial."""
NUMBERS = ("share", "threads")
EXAMPLES = {
    "category": "german", "tag": "de", "pairs": "edits.jsonl", "threads": "2", "factor": "user", "share": "0.5",
}  # fmt: skip
EXAMPLE = "without(user) + mixture(german, 0.5)"
SETTING = "config.benchmark.dials"
_BASED = re.compile(r"(?P<body>.*\))\s+on\s+(?P<base>\S.*?)\s*", re.DOTALL)
_STEP = re.compile(r"\s*(?P<name>[^()+]*?)\s*\((?P<inside>[^()]*)\)\s*")
_STEPS = re.compile(r"[^()+]*\([^()]*\)\s*(\+[^()+]*\([^()]*\)\s*)*")


class Step(NamedTuple):
    """One dial of a composition, its number apart: what `mixture` and `shortened` have as share, and `turns` as threads."""

    name: str
    word: str  # category, tag, pairs or factor; "" of `turns`
    number: float | None = None

    def written(self, numbered: bool = True) -> str:
        """The dial as it stands in names; without its number that of its curve."""
        number = f"{self.number:g}" if numbered and self.number is not None else ""
        word = PurePath(self.word).name if self.name == "edited" else self.word
        inside = ", ".join(text for text in (word, number) if text)
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class Dial:
    """Dials that are turned one after the other, and the category that they begin from; "" where it follows from them."""

    steps: tuple[Step, ...]
    base: str = ""

    def __str__(self) -> str:
        return self._joined(step.written() for step in self.steps)

    @property
    def position(self) -> float | None:
        """The number of the last dial that has one: what a curve is drawn over."""
        return next((step.number for step in reversed(self.steps) if step.number is not None), None)

    @property
    def curve(self) -> str:
        """The name of what the position moves along: of all dials that differ in it alone."""
        last = max((place for place, step in enumerate(self.steps) if step.number is not None), default=None)
        return self._joined(step.written(place != last) for place, step in enumerate(self.steps))

    @property
    def files(self) -> list[Path]:
        """The files of edits that it names."""
        return [Path(step.word) for step in self.steps if step.name == "edited" and Path(step.word).is_file()]

    def _joined(self, names: Iterable[str]) -> str:
        return " + ".join(names) + (f" on {self.base}" if self.base else "")


def parse_dials(texts: Sequence[str]) -> list[Dial]:
    """Returns the dials of their texts.

    Raises:
      UserError: one line with every fault: an unknown dial, what is missing in its brackets, a share outside 0 to 1, a factor
        that is none, a dial named twice.
    """
    if isinstance(texts, str):
        raise UserError(f"{SETTING}={texts!r}: must be a list of texts, such as ({texts!r},)")
    faults: list[str] = []
    dials: dict[str, Dial] = {}
    for text in texts:
        before = len(faults)
        dial = _parsed(str(text), faults)
        if len(faults) > before:
            continue
        if str(dial) in dials:
            faults.append(f"{SETTING}: {str(dial)!r} is named twice: name each setting once")
        dials[str(dial)] = dial
    raise_all(faults)
    return list(dials.values())


def _parsed(text: str, faults: list[str]) -> Dial:
    based = _BASED.fullmatch(text)
    body, base = (based["body"], based["base"]) if based else (text, "")
    if not _STEPS.fullmatch(body):
        faults.append(f"{SETTING}: {text!r} is no dial: write it as {EXAMPLE!r}, of {', '.join(ARGUMENTS)}")
        return Dial(())
    steps = [_step(match["name"], match["inside"], text, faults) for match in _STEP.finditer(body)]
    return Dial(tuple(steps), base)


def _step(name: str, inside: str, text: str, faults: list[str]) -> Step:
    if name not in ARGUMENTS:
        near = meant(name, ARGUMENTS) or f": choose one of {', '.join(ARGUMENTS)}"
        faults.append(f"{SETTING}: {text!r}: unknown dial {name!r}{near}")
        return Step(name, "")
    wanted = ARGUMENTS[name]
    # A category's name may hold a comma; the number is what stands behind the last one.
    values = [part.strip() for part in (inside.rsplit(",", 1) if len(wanted) == 2 else [inside])]
    if len(values) != len(wanted) or not all(values):
        example = ", ".join(EXAMPLES[argument] for argument in wanted)
        faults.append(f"{SETTING}: {text!r}: {name} takes {' and '.join(wanted)}: write {name}({example})")
        return Step(name, "")
    given = dict(zip(wanted, values, strict=True))
    if (factor := given.get("factor", FACTORS[0])) not in FACTORS:
        near = meant(factor, FACTORS)
        faults.append(f"{SETTING}: {text!r}: {factor!r} is no factor{near}: choose one of {', '.join(FACTORS)}")
    number = _number(given, text, faults)
    return Step(name, next((value for key, value in given.items() if key not in NUMBERS), ""), number)


def _number(given: Mapping[str, str], text: str, faults: list[str]) -> float | None:
    written = next((given[key] for key in NUMBERS if key in given), None)
    if written is None:
        return None
    try:
        number = float(written)
    except ValueError:
        number = float("nan")
    if "share" in given and not 0 <= number <= 1:
        faults.append(f"{SETTING}: {text!r}: the share {written} must be a number from 0 to 1")
    if "threads" in given and not (number >= 1 and number.is_integer()):
        faults.append(f"{SETTING}: {text!r}: the threads {written} must be a whole number from 1 up")
    return number
