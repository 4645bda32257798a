"""Step 2 of docs/metric.md, section 6 (RPGBench): who would talk to this character; then the sketch is made fuller."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from remid_jax.construction.answers import Question, Questioner, check_language, tagged_in
from remid_jax.construction.characters import Character
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.dialogues.languages import language_name
from remid_jax.dialogues.manifest import RPGBENCH


@dataclasses.dataclass(frozen=True)
class Meeting:
    """A user and the character with whom he or she talks; `language` is a BCP 47 tag, `persona` "" before there is one."""

    id: str
    category: str
    lineage: str
    language: str
    character: Character
    persona: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the meeting as a line of stages/users.jsonl."""
        return dataclasses.asdict(self)


def with_users(meetings: Sequence[Meeting], model: Questioner, prompts: ConstructionPrompts) -> list[Meeting]:
    """Returns the meetings for which the model found a user, who writes in the meeting's language.

    Raises:
      UserError: as `Questioner.ask`.
    """

    def asked(stage: str, template: str, whom: Sequence[Meeting]) -> list[Meeting]:
        questions = []
        for meeting in whom:
            values = {"character": meeting.character.text, "language": language_name(meeting.language)}
            values |= {"persona": meeting.persona} if meeting.persona else {}
            questions.append(Question(meeting.id, prompts.messages(template, **values), _persona_in(meeting.language)))
        answers = zip(whom, model.ask(stage, questions), strict=True)
        return [dataclasses.replace(meeting, persona=persona) for meeting, persona in answers if persona is not None]

    return asked("expand users", "expand_user", asked("infer users", "infer_user", meetings))


def _persona_in(language: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        persona = tagged_in(text, "persona")
        check_language(persona, language, RPGBENCH.languages)
        return persona

    return read
