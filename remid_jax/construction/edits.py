"""A few words of a user changed so that another reply is due: the smallest edit with the largest change, asked of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rapidfuzz.distance import Indel

from remid_jax.construction.answers import Answered, Question, Questioner, Text, Unfit, check_language, object_in
from remid_jax.construction.gates.composition import WORD_LEVEL, Composition
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.dialogues.languages import language_name
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn

ITS_OWN = "the language of the conversation"


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change of a few words, `old` to `new`, in turn number `turn` of a dialogue, the user's, and the golden reply then."""

    turn: int
    old: str
    new: str
    golden: str

    def applied(self, record: Record) -> Record:
        """Returns the record as it is after the edit."""
        turns = list(record.dialogue)
        turns[self.turn] = Turn("user", turns[self.turn].text.replace(self.old, self.new, 1))
        return dataclasses.replace(record, dialogue=tuple(turns), golden=self.golden)


class _Proposed(Answered):
    old: Text
    new: Text
    golden: Text


class _Edits(Answered):
    edits: list[_Proposed]


def edits_of(
    records: Mapping[str, Record],
    languages: Mapping[str, str | None],
    among: Sequence[str],
    model: Questioner,
    prompts: ConstructionPrompts,
) -> dict[str, Edit]:
    """Returns an edit for each record for which the model found one.

    Of the edits that it proposes for a record, the one is taken that changes the reply most for each letter that it touches.

    Args:
      records: by the name of the question.
      languages: of the records, BCP 47 tags; None where nobody knows.
      among: languages from which they are told.
      model: who is asked.
      prompts: with `edit.md`.

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions = []
    for name, record in records.items():
        tag = languages[name]
        messages = prompts.messages(
            "edit",
            user_persona=record.user_persona,
            character=record.character_text,
            language=ITS_OWN if tag is None else language_name(tag),
            dialogue=record.dialogue_text,
            golden=record.golden,
        )
        questions.append(Question(name, messages, _edit_in(record, tag, among)))
    answers = model.ask("edit", questions)
    return {name: edit for name, edit in zip(records, answers, strict=True) if edit is not None}


def line_of(record: Record, edit: Edit) -> dict[str, Any]:
    """Returns an edit as a line of a file that the dial `edited` reads (`remid_jax.dialogues.dials.edits`)."""
    changed = edit.applied(record).to_json()
    return {key: changed[key] for key in ("sample_ID", "dialogue_context", "agent_golden_response")}


def _edit_in(record: Record, language: str | None, among: Sequence[str]) -> Callable[[str], Edit]:
    def read(text: str) -> Edit:
        reasons: list[str] = []
        fitting = []
        for proposed in object_in(text, _Edits).edits:
            try:
                fitting.append(_checked(proposed, record, language, among))
            except Unfit as unfit:
                reasons.append(str(unfit))
        if not fitting:
            raise Unfit("; ".join(reasons) or "has no edits")
        return max(fitting, key=lambda edit: _gain(edit, record))

    return read


def _checked(edit: _Proposed, record: Record, language: str | None, among: Sequence[str]) -> Edit:
    """Raises `Unfit` unless the words stand in a message of the user, and few of them change, but the reply does."""
    places = [n for n, turn in enumerate(record.dialogue) if turn.speaker == "user" and edit.old in turn.text]
    if not places:
        raise Unfit("the words to change stand in no message of the user")
    if edit.new == edit.old:
        raise Unfit("the words do not change")
    check_language(edit.golden, language, among)
    checked = Edit(places[-1], edit.old, edit.new, edit.golden)
    changed = dataclasses.replace(checked.applied(record), id=f"{record.id}, edited", category=WORD_LEVEL)
    if faults := Composition({changed.id: (record,)}).faults([changed], RPGBENCH, lambda done, total: None):
        raise Unfit(faults[0])
    return checked


def _gain(edit: Edit, record: Record) -> float:
    """The share of the reply that changes, for each letter that goes or comes."""
    changed = Indel.normalized_distance(edit.golden.split(), record.golden.split())
    return changed / (len(edit.old) + len(edit.new))
