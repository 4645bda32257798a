"""What each step of the construction asks, made from editable templates.

The package's own stand in `prompts/*.md`; a config may name another folder with the same files, which are like those of
`remid_jax.dialogues.prompts`: a section `# user`, `# system` if it likes, and placeholders in braces.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.prompts import SECTIONS, Messages, filled, folder_texts, sections_of

_PROPOSED = frozenset({"name", "work", "description", "domain"})
_TALK = frozenset({"user_persona", "character", "language"})
_BLIND = "the model would not know of whom, or of what, it is asked"
_FILES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "propose_real.md": (frozenset({"persona", "domain", "count", "known"}), frozenset({"domain", "count"})),
    "propose_fictional.md": (frozenset({"persona", "domain", "count", "known"}), frozenset({"domain", "count"})),
    "refine.md": (_PROPOSED, frozenset({"name"})),
    "refine_from_passages.md": (_PROPOSED | {"passages"}, frozenset({"name", "passages"})),
    "classify.md": (frozenset({"character"}), frozenset({"character"})),
    "infer_user.md": (frozenset({"character", "language"}), frozenset({"character", "language"})),
    "expand_user.md": (frozenset({"persona", "character", "language"}), frozenset({"persona", "language"})),
    "openings.md": (_TALK, _TALK),
    "dialogue.md": (_TALK | {"opening"}, _TALK | {"opening"}),
    "merge.md": (_TALK | {"first", "second"}, _TALK | {"first", "second"}),
    "edit.md": (_TALK | {"dialogue", "golden"}, _TALK | {"dialogue", "golden"}),
}
"""The placeholders that each file may have, and those that it must have."""


@dataclass(frozen=True)
class ConstructionPrompts:
    """Templates by file name without its ending; `fingerprint` is the sha256 of their files."""

    templates: Mapping[str, Mapping[str, str]]
    fingerprint: str

    @classmethod
    def load(cls, folder: str | Path | None = None) -> ConstructionPrompts:
        """Returns the templates of `folder`, by default the package's.

        Raises:
          UserError: with the faults of all files.
        """
        faults: list[str] = []
        shipped = importlib.resources.files(__package__) / "prompts"
        templates, digest = {}, hashlib.sha256()
        for name, where, text in folder_texts(
            folder, shipped, tuple(_FILES), "a folder of construction prompts", digest, faults
        ):
            allowed, needed = _FILES[name]
            lacks = dict.fromkeys(sorted(needed), _BLIND)
            templates[name.removesuffix(".md")] = sections_of(text, where, SECTIONS[:2], allowed, lacks, faults)
        raise_all(faults)
        return cls(templates, digest.hexdigest())

    def messages(self, name: str, /, **values: str) -> Messages:
        """Returns the conversation of a template, with texts in the place of its placeholders."""
        template = self.templates[name]
        return [{"role": role, "content": filled(template[role], values)} for role in SECTIONS[:2] if role in template]
