"""Step 1 of docs/metric.md, section 6 (RPGBench): characters are proposed, looked up, and told apart as real or fictional."""

from __future__ import annotations

import collections
import dataclasses
import importlib.resources
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from remid_jax.construction.answers import Answered, Question, Questioner, Text, check_language, object_in
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.retrieval import Retriever
from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import character_text
from remid_jax.dialogues.validated import Written, validated
from remid_jax.files import read_lines

DOMAINS: Mapping[str, str] = {
    "Literature": "literature", "Film & Television": "film and television", "Theater": "the theater", "Gaming": "games",
}  # fmt: skip
"""The categories of fictional characters, and how prompts call what these are from."""
REAL = "real"
PROPOSED = 3  # characters in one answer
PASSAGES = 4  # that are shown beside a character
KNOWN = 100  # names that proposals are asked to leave out


@dataclasses.dataclass(frozen=True)
class Character:
    """Somebody to talk to: the category of the works that he or she is from, the profile, and whether it is an invented one."""

    domain: str
    profile: dict[str, object]
    is_fictional: bool

    @property
    def name(self) -> str:
        return str(self.profile["name"])

    @property
    def text(self) -> str:
        """The profile as prompts show it."""
        return character_text(self.profile)

    def to_json(self) -> dict[str, Any]:
        """Returns the character as a line of stages/characters.jsonl."""
        return dataclasses.asdict(self)


_Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Proposal(Answered):
    name: _Name
    work: str = ""
    description: str = ""


class _Proposals(Answered):
    characters: list[_Proposal]


class _Profile(Answered):
    name: _Name
    identity: Text
    personality: Text
    background: Text
    speech_style: Text


class _Kind(Answered):
    kind: Literal["real", "fictional"]


class _Persona(Written):
    persona: str


class _Given(Written):
    domain: Literal["Literature", "Film & Television", "Theater", "Gaming"]
    profile: dict[str, Any]
    is_fictional: bool


@dataclasses.dataclass(frozen=True)
class Casting:
    """Who and what characters come from.

    Attributes:
      model: proposes and tells real people from invented ones.
      lookup: writes profiles; it may have a search engine.
      retriever: passages that it is shown, if any.
      prompts: what they are asked.
      personas: of readers, for whom characters are proposed.
      given: characters that need not be proposed.
      seed: of the order in which they are.
      rounds: how often more are proposed where too few were.
    """

    model: Questioner
    lookup: Questioner
    retriever: Retriever | None
    prompts: ConstructionPrompts
    personas: Sequence[str]
    given: Sequence[Character]
    seed: int
    rounds: int

    def cast(self, wanted: Mapping[str, int]) -> dict[str, list[Character]]:
        """Returns characters by kind: "real", or a category of `DOMAINS` for fictional ones; as many as `wanted`, or fewer.

        Those that are given come first. A character whose name was proposed before, or whose profile has the name of one that
        has a place, is left out. One that turns out to be of another kind than was asked for is used as what it is.

        Raises:
          UserError: as `Questioner.ask`.
        """
        cast: dict[str, list[Character]] = {kind: [] for kind in wanted}
        waiting: dict[str, list[tuple[str, _Proposal]]] = {kind: [] for kind in wanted}
        names = {_folded(character.name): character.name for character in self.given}
        _place(self.given, cast, wanted)
        turns = {kind: self._turns(kind) for kind in wanted}
        for _ in range(self.rounds):
            lacking = {kind: count - len(cast[kind]) for kind, count in wanted.items() if len(cast[kind]) < count}
            if not lacking:
                break
            proposed, answered = self._proposed(lacking, waiting, names, turns)
            for kind, domain, proposal in proposed:
                waiting[kind].append((domain, proposal))
            chosen = [entry for kind, count in lacking.items() for entry in waiting[kind][:count]]
            for kind, count in lacking.items():
                del waiting[kind][:count]
            if not chosen and not answered:
                break
            _place(self._classified(self._profiled(chosen)), cast, wanted)
        return cast

    def _turns(self, kind: str) -> Iterator[tuple[str, str]]:
        """(persona, category of works) for requests, one after the other, each pair once before any comes again."""
        pairs = list(itertools.product(self.personas, DOMAINS if kind == REAL else [kind]))
        random.Random(f"{self.seed} {kind}").shuffle(pairs)
        return itertools.cycle(pairs)

    def _proposed(
        self,
        lacking: Mapping[str, int],
        waiting: Mapping[str, Sequence[tuple[str, _Proposal]]],
        names: dict[str, str],
        turns: Mapping[str, Iterator[tuple[str, str]]],
    ) -> tuple[list[tuple[str, str, _Proposal]], bool]:
        """(kind, category of works, proposal) of new characters, whose names are added to `names`; and whether any answer could
        be read."""
        asked: list[tuple[str, str]] = []
        questions = []
        known = "; ".join(list(names.values())[-KNOWN:]) or "(nobody yet)"
        for kind, count in lacking.items():
            for _ in range(-(-max(0, count - len(waiting[kind])) // PROPOSED)):
                persona, domain = next(turns[kind])
                template = "propose_real" if kind == REAL else "propose_fictional"
                messages = self.prompts.messages(
                    template, persona=persona, domain=DOMAINS[domain], count=str(PROPOSED), known=known
                )
                asked.append((kind, domain))
                questions.append(Question(f"{kind}, from {DOMAINS[domain]}: {persona}", messages, _proposals))
        found = []
        answers = self.model.ask("propose", questions)
        for (kind, domain), proposals in zip(asked, answers, strict=True):
            for proposal in proposals or ():
                if _folded(proposal.name) not in names:
                    names[_folded(proposal.name)] = proposal.name
                    found.append((kind, domain, proposal))
        return found, any(proposals is not None for proposals in answers)

    def _profiled(self, chosen: Sequence[tuple[str, _Proposal]]) -> list[tuple[str, dict[str, object]]]:
        """(category of works, profile) of the characters that could be looked up."""
        questions = []
        for domain, proposal in chosen:
            values = {**proposal.model_dump(), "domain": DOMAINS[domain]}
            passages = self.retriever.passages(f"{proposal.name} {proposal.work}", PASSAGES) if self.retriever else []
            template = "refine_from_passages" if passages else "refine"
            values |= {"passages": "\n\n".join(passages)} if passages else {}
            questions.append(Question(proposal.name, self.prompts.messages(template, **values), _profile))
        profiles = self.lookup.ask("look up", questions)
        return [(domain, profile) for (domain, _), profile in zip(chosen, profiles, strict=True) if profile is not None]

    def _classified(self, profiled: Sequence[tuple[str, dict[str, object]]]) -> list[Character]:
        questions = [
            Question(str(profile["name"]), self.prompts.messages("classify", character=character_text(profile)), _kind)
            for _, profile in profiled
        ]
        kinds = self.model.ask("classify", questions)
        return [
            Character(domain, profile, kind == "fictional")
            for (domain, profile), kind in zip(profiled, kinds, strict=True)
            if kind is not None
        ]


def read_personas(path: str | Path | None) -> list[str]:
    """Returns the seed personas of a JSON Lines file, {"persona": text} a line; without a file those of the package.

    Raises:
      UserError: one line with every fault.
    """
    if not path:
        with importlib.resources.as_file(importlib.resources.files(__package__) / "personas.jsonl") as shipped:
            return read_personas(shipped)
    return [line.persona.strip() for line in _lines_of(path, _Persona, lambda line: {"persona": line.persona})]


def read_characters(path: str | Path) -> list[Character]:
    """Returns the characters of a JSON Lines file like stages/characters.jsonl: {"domain", "profile", "is_fictional"} a line.

    Raises:
      UserError: one line with every fault; a name that stands twice is one.
    """
    lines = _lines_of(path, _Given, lambda line: {"profile.name": line.profile.get("name")})
    characters = [Character(line.domain, line.profile, line.is_fictional) for line in lines]
    times = collections.Counter(_folded(character.name) for character in characters)
    raise_all([f"{path}: {name!r} stands {count} times: keep one" for name, count in times.items() if count > 1])
    return characters


Line = TypeVar("Line", bound=BaseModel)


def _lines_of(path: str | Path, form: type[Line], texts: Callable[[Line], Mapping[str, object]]) -> list[Line]:
    """The lines of a file that people write; each of `texts` must be one."""
    faults: list[str] = []
    lines = []
    for number, row in read_lines(path, faults):
        wrong: list[str] = []
        line = validated(form, row, wrong)
        if line is not None:
            lines.append(line)
            blank = [name for name, text in texts(line).items() if not isinstance(text, str) or not text.strip()]
            wrong += [f"{name}: must be a text that is not empty" for name in blank]
        faults += [f"{path}: line {number}: {fault}" for fault in wrong]
    raise_all(faults)
    return lines


def _place(characters: Iterable[Character], cast: Mapping[str, list[Character]], wanted: Mapping[str, int]) -> None:
    """Puts characters among those of their kind, each name once, as long as more of it are wanted."""
    placed = {_folded(character.name) for own in cast.values() for character in own}
    for character in characters:
        kind, name = character.domain if character.is_fictional else REAL, _folded(character.name)
        if name not in placed and len(cast.get(kind, ())) < wanted.get(kind, 0):
            cast[kind].append(character)
            placed.add(name)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _proposals(text: str) -> list[_Proposal]:
    return object_in(text, _Proposals).characters


def _profile(text: str) -> dict[str, object]:
    profile = object_in(text, _Profile).model_dump()
    check_language(" ".join(str(profile[key]) for key in ("personality", "background")), "en", RPGBENCH.languages)
    return profile


def _kind(text: str) -> str:
    return object_in(text, _Kind).kind
