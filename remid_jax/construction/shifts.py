"""Step 4 of docs/metric.md, section 6 (RPGBench), of dialogues: two are merged into one, or a few words of one are changed.

The other shifts, of users and of characters, are meetings like any other (`plan`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from remid_jax.construction.answers import Answered, Question, Questioner, Text, Unfit, check_language, object_in
from remid_jax.construction.dialogues import ROUNDS, record_of, rounds_in, talk_values
from remid_jax.construction.plan import TURN_LEVEL, WORD_LEVEL, slug
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.users import Meeting
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change of a few words, `old` to `new`, in turn number `turn` of a dialogue, the user's, and the golden reply then."""

    turn: int
    old: str
    new: str
    golden: str


class _Proposed(Answered):
    old: Text
    new: Text
    golden: Text


class _Edits(Answered):
    edits: list[_Proposed]


def merged(pairs: Sequence[tuple[Meeting, Record, Record]], model: Questioner, prompts: ConstructionPrompts) -> list[Record]:
    """Returns a record of eight rounds for each pair of dialogues of one meeting that the model could merge.

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions, names = [], []
    for meeting, first, second in pairs:
        numbers = [record.id.rpartition("-")[2] for record in (first, second)]
        names.append(f"{slug(TURN_LEVEL)}-{meeting.id.rpartition('-')[2]}-{''.join(numbers)}")
        values = {"first": _whole(first), "second": _whole(second)}
        messages = prompts.messages("merge", **talk_values(meeting), **values)
        questions.append(Question(names[-1], messages, rounds_in(meeting.language, 2 * ROUNDS)))
    return [
        record_of(name, meeting, turns).in_category(TURN_LEVEL)
        for name, (meeting, _, _), turns in zip(names, pairs, model.ask("merge", questions), strict=True)
        if turns is not None
    ]


def edited(
    bases: Sequence[tuple[Meeting, Record]], model: Questioner, prompts: ConstructionPrompts
) -> list[tuple[Record, Record]]:
    """Returns (the edited record, the record it was made from) for each dialogue for which the model found an edit.

    Of the edits that it proposes, the one is taken that changes the reply most for each letter that it touches.

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions, names = [], []
    for meeting, record in bases:
        names.append("-".join([slug(WORD_LEVEL), *record.id.split("-")[-2:]]))
        values = {"dialogue": record.dialogue_text, "golden": record.golden}
        messages = prompts.messages("edit", **talk_values(meeting), **values)
        questions.append(Question(names[-1], messages, _edit_in(record, meeting.language)))
    return [
        (_changed(record, edit, name), record)
        for name, (_, record), edit in zip(names, bases, model.ask("edit", questions), strict=True)
        if edit is not None
    ]


def _whole(record: Record) -> str:
    return f"{record.dialogue_text}\nAgent: {record.golden}"


def _changed(record: Record, edit: Edit, name: str) -> Record:
    turns = list(record.dialogue)
    turns[edit.turn] = Turn("user", turns[edit.turn].text.replace(edit.old, edit.new, 1))
    return dataclasses.replace(record, id=name, category=WORD_LEVEL, dialogue=tuple(turns), golden=edit.golden)


def _edit_in(record: Record, language: str) -> Callable[[str], Edit]:
    def read(text: str) -> Edit:
        proposed = object_in(text, _Edits).edits
        reasons: list[str] = []
        fitting = []
        for edit in proposed:
            try:
                fitting.append(_checked(edit, record, language))
            except Unfit as unfit:
                reasons.append(str(unfit))
        if not fitting:
            raise Unfit("; ".join(reasons) or "has no edits")
        return max(fitting, key=lambda edit: _gain(edit, record))

    return read


def _checked(edit: _Proposed, record: Record, language: str) -> Edit:
    """Raises `Unfit` unless the words stand in a message of the user, and both they and the reply change."""
    places = [n for n, turn in enumerate(record.dialogue) if turn.speaker == "user" and edit.old in turn.text]
    if not places:
        raise Unfit("the words to change stand in no message of the user")
    if edit.new == edit.old:
        raise Unfit("the words do not change")
    if edit.golden == record.golden:
        raise Unfit("the answer does not change")
    check_language(edit.golden, language, RPGBENCH.languages)
    return Edit(places[-1], edit.old, edit.new, edit.golden)


def _gain(edit: Edit, record: Record) -> float:
    """The share of the reply that changes, for each letter that goes or comes."""
    alike = SequenceMatcher(None, edit.golden.split(), record.golden.split(), autojunk=False).ratio()
    return (1 - alike) / (len(edit.old) + len(edit.new))
