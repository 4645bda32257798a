"""Step 3 of docs/metric.md, section 6 (RPGBench): three distinct openings, then four rounds; the last answer is golden."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from rapidfuzz import fuzz

from remid_jax.construction.answers import Answered, Question, Questioner, Text, Unfit, check_language, object_in
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.users import Meeting
from remid_jax.dialogues.languages import language_name
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn

OPENINGS, ROUNDS = 3, 4
ALIKE = 90.0  # percent, rapidfuzz's ratio, from which two openings are one


@dataclasses.dataclass(frozen=True)
class Opening:
    """The first message of a user; `number` counts a meeting's openings from 1."""

    meeting: Meeting
    number: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Returns the opening as a line of stages/openings.jsonl."""
        return {"id": self.meeting.id, "number": self.number, "opening": self.text}


class _Openings(Answered):
    openings: Annotated[list[Text], Field(min_length=OPENINGS)]


class _Round(Answered):
    user: Text
    agent: Text


class _Rounds(Answered):
    rounds: list[_Round]


def openings_of(meetings: Sequence[Meeting], model: Questioner, prompts: ConstructionPrompts) -> list[Opening]:
    """Returns three openings for each meeting for which the model wrote three that differ.

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions = [
        Question(meeting.id, prompts.messages("openings", **talk_values(meeting)), _openings_in(meeting.language))
        for meeting in meetings
    ]
    answers = model.ask("openings", questions)
    return [
        Opening(meeting, number, text)
        for meeting, texts in zip(meetings, answers, strict=True)
        for number, text in enumerate(texts or (), 1)
    ]


def held(openings: Sequence[Opening], model: Questioner, prompts: ConstructionPrompts) -> list[Record]:
    """Returns a record of four rounds for each opening that the model goes on with, called "MEETING-NUMBER".

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions = []
    for opening in openings:
        messages = prompts.messages("dialogue", **talk_values(opening.meeting), opening=opening.text)
        questions.append(Question(_name(opening), messages, rounds_in(opening.meeting.language, ROUNDS, opening.text)))
    return [
        record_of(_name(opening), opening.meeting, turns)
        for opening, turns in zip(openings, model.ask("dialogues", questions), strict=True)
        if turns is not None
    ]


def record_of(name: str, meeting: Meeting, turns: Sequence[Turn]) -> Record:
    """Returns the record of a whole conversation, whose last turn becomes the golden reply."""
    *dialogue, golden = turns
    profile = dict(meeting.character.profile)
    return Record(name, meeting.persona, profile, tuple(dialogue), golden.text, meeting.category, meeting.lineage)


def talk_values(meeting: Meeting) -> Mapping[str, str]:
    """Returns what prompts say of a meeting."""
    return {
        "user_persona": meeting.persona,
        "character": meeting.character.text,
        "language": language_name(meeting.language),
    }


def rounds_in(language: str, count: int, opening: str | None = None) -> Callable[[str], list[Turn]]:
    """Returns what reads `count` rounds in a language from an answer, as turns; more are left out.

    With an `opening`, that is the first turn, however the answer spells it.
    """

    def read(text: str) -> list[Turn]:
        rounds = object_in(text, _Rounds).rounds[:count]
        if len(rounds) < count:
            raise Unfit(f"has {len(rounds)} rounds, not {count}")
        turns = [turn for each in rounds for turn in (Turn("user", each.user), Turn("agent", each.agent))]
        if opening is not None:
            turns[0] = Turn("user", opening)
        for speaker in ("user", "agent"):
            check_language("\n".join(turn.text for turn in turns if turn.speaker == speaker), language, RPGBENCH.languages)
        check_language(turns[-1].text, language, RPGBENCH.languages)
        return turns

    return read


def _openings_in(language: str) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        openings = object_in(text, _Openings).openings[:OPENINGS]
        check_language("\n".join(openings), language, RPGBENCH.languages)
        for place, opening in enumerate(openings):
            if any(fuzz.ratio(opening, other) >= ALIKE for other in openings[:place]):
                raise Unfit("two of its openings are alike")
        return openings

    return read


def _name(opening: Opening) -> str:
    return f"{opening.meeting.id}-{opening.number}"
