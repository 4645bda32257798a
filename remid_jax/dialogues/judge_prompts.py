"""What a judge of replies is asked: to rate one from 1 to 10, in two wordings, or which of two is better, by each criterion.

The package's own texts stand in `judge_prompts/`; a config may name another folder with the same files: templates like those
of `remid_jax.dialogues.prompts`, and criteria.json, {name: what a good reply does, as it stands in a sentence}. The template
of a rating has `{reply}`, that of a comparison `{first}` and `{second}`, each has `{criterion}`. What differs comes last:
scoring computes a shared beginning once.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.prompts import SECTIONS, Messages, filled, folder_texts, sections_of
from remid_jax.dialogues.records import Record
from remid_jax.files import parse_json

WORDINGS = ("", "_reworded")
CRITERIA = "criteria.json"
_CONTEXT = ("user_persona", "character", "dialogue", "criterion")
_NEEDED = {
    "rating": {"reply": "the judge would see no reply", "criterion": "all criteria would be the same question"},
    "pairwise": {
        "first": "the judge would see one reply", "second": "the judge would see one reply",
        "criterion": "all criteria would be the same question",
    },
}  # fmt: skip
PAIRWISE = "pairwise.md"
FILES = (CRITERIA, *(f"rating{wording}.md" for wording in WORDINGS), PAIRWISE)


class ContextTexts(NamedTuple):
    """What a judge is told of a context."""

    user_persona: str
    character: str
    dialogue: str

    @classmethod
    def of(cls, record: Record) -> ContextTexts:
        """Returns the texts of a record."""
        return cls(record.user_persona, record.character_text, record.dialogue_text)


@dataclass(frozen=True)
class JudgePrompts:
    """Templates by file name, and {criterion: what a good reply does}; `fingerprint` is the sha256 of their files."""

    templates: Mapping[str, Mapping[str, str]]
    criteria: Mapping[str, str]
    fingerprint: str

    @classmethod
    def load(cls, folder: str | Path | None = None) -> JudgePrompts:
        """Returns the templates of `folder`, by default the package's.

        Raises:
          UserError: with the faults of all files.
        """
        faults: list[str] = []
        shipped = importlib.resources.files(__package__) / "judge_prompts"
        templates, criteria, digest = {}, {}, hashlib.sha256()
        for name, where, text in folder_texts(folder, shipped, FILES, "a folder of a judge's prompts", digest, faults):
            if name == CRITERIA:
                criteria = _criteria(text, where, faults)
                continue
            needed = _NEEDED[name.partition(".")[0].partition("_")[0]]
            templates[name] = sections_of(text, where, SECTIONS, {*_CONTEXT, *needed}, needed, faults)
        raise_all(faults)
        return cls(templates, criteria, digest.hexdigest())

    def rating(self, texts: ContextTexts, reply: str, criterion: str, wording: str) -> tuple[Messages, str]:
        """Returns the conversation in which a reply is rated, and how the judge's answer opens."""
        return self._asked(f"rating{wording}.md", texts, criterion, reply=reply)

    def pairwise(self, texts: ContextTexts, first: str, second: str, criterion: str) -> tuple[Messages, str]:
        """Returns the conversation in which two replies, A and B, are compared, and how the judge's answer opens."""
        return self._asked(PAIRWISE, texts, criterion, first=first, second=second)

    def _asked(self, name: str, texts: ContextTexts, criterion: str, **replies: str) -> tuple[Messages, str]:
        template = self.templates[name]
        values = {**texts._asdict(), "criterion": self.criteria[criterion], **replies}
        roles = [role for role in ("system", "user") if role in template]
        messages = [{"role": role, "content": filled(template[role], values)} for role in roles]
        return messages, template["assistant opening"] + "\n"


def _criteria(text: str, where: str, faults: list[str]) -> dict[str, str]:
    """The criteria of a file; its faults are added to `faults`."""
    value, found = parse_json(text.encode())
    faults += [f"{where}{fault if fault.startswith(' (') else f': {fault}'}" for fault in found]
    if not found and (not isinstance(value, dict) or not value or not all(isinstance(of, str) and of for of in value.values())):
        example = json.dumps({"continuity": "goes on from the conversation"})
        faults.append(f"{where}: must be an object of texts, such as {example}")
        return {}
    return value if not found else {}
