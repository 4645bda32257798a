"""Step 4 of docs/metric.md, section 6 (RPGBench), of dialogues: two are merged into one, or a few words of one are changed.

The other shifts, of users and of characters, are meetings like any other (`plan`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from remid_jax.construction.answers import Question, Questioner, Unfit
from remid_jax.construction.dialogues import ROUNDS, record_of, rounds_in, talk_values
from remid_jax.construction.edits import edits_of
from remid_jax.construction.gates.threads import Threads
from remid_jax.construction.plan import TURN_LEVEL, WORD_LEVEL, slug
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.users import Meeting
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record


def merged(
    pairs: Sequence[tuple[Meeting, Record, Record]], model: Questioner, prompts: ConstructionPrompts
) -> list[tuple[Record, tuple[Record, Record]]]:
    """Returns (a record of eight rounds, what it was made from) for each pair of dialogues of one meeting that the model could
    merge.

    Raises:
      UserError: as `Questioner.ask`.
    """
    questions = []
    for meeting, first, second in pairs:
        numbers = [record.id.rpartition("-")[2] for record in (first, second)]
        name = f"{slug(TURN_LEVEL)}-{meeting.id.rpartition('-')[2]}-{''.join(numbers)}"
        values = {"first": _whole(first), "second": _whole(second)}
        messages = prompts.messages("merge", **talk_values(meeting), **values)
        questions.append(Question(name, messages, _merge_in(name, meeting, (first, second))))
    return [
        (record, (first, second))
        for (_, first, second), record in zip(pairs, model.ask("merge", questions), strict=True)
        if record is not None
    ]


def edited(
    bases: Sequence[tuple[Meeting, Record]], model: Questioner, prompts: ConstructionPrompts
) -> list[tuple[Record, Record]]:
    """Returns (the edited record, the record it was made from) for each dialogue for which the model found an edit.

    Raises:
      UserError: as `Questioner.ask`.
    """
    named = {"-".join([slug(WORD_LEVEL), *record.id.split("-")[-2:]]): (meeting, record) for meeting, record in bases}
    sources = {name: record for name, (_, record) in named.items()}
    languages = {name: meeting.language for name, (meeting, _) in named.items()}
    return [
        (dataclasses.replace(edit.applied(sources[name]), id=name, category=WORD_LEVEL), sources[name])
        for name, edit in edits_of(sources, languages, RPGBENCH.languages, model, prompts).items()
    ]


def _merge_in(name: str, meeting: Meeting, sources: tuple[Record, Record]) -> Callable[[str], Record]:
    read_rounds = rounds_in(meeting.language, 2 * ROUNDS)

    def read(text: str) -> Record:
        record = record_of(name, meeting, read_rounds(text)).in_category(TURN_LEVEL)
        if faults := Threads({name: sources}).faults([record], RPGBENCH, lambda done, total: None):
            raise Unfit(faults[0])
        return record

    return read


def _whole(record: Record) -> str:
    return f"{record.dialogue_text}\nAgent: {record.golden}"
