"""The prompts of the policy, the reasoner, the responder, the judge and the teacher, made from editable templates.

The package's own stand in `prompts/*.md`; a config may name another folder with the same files. A file has the sections
`# user`, usually `# system` and, where the model's turn is begun for it, `# assistant opening`. `{user_persona}`, `{character}`
and `{dialogue}` are replaced by the record's texts, `{core_features}` in responder.md and judge.md by the reasoner's,
`{golden}` in judge.md and teacher.md by the golden reply, `{candidate}` in judge.md by the one to compare with it; a paragraph
with `{core_features}` is left out where there are none.

What differs between the prompts comes last, because scoring computes a shared beginning once: the systems of all but the
judge are equal, the policy's prompt is the beginning of the responder's and of a thinking policy's, and a judge's ends with the
candidate.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.records import Record

Messages = list[dict[str, str]]

SECTIONS = ("system", "user", "assistant opening")
_CONTEXT = frozenset({"user_persona", "character", "dialogue"})
_FEATURES = "core_features"
_HEADING = re.compile(rf"^# ({'|'.join(SECTIONS)})[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_FILES: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "policy.md": (SECTIONS[:2], _CONTEXT),
    "reasoner.md": (SECTIONS, _CONTEXT),
    "responder.md": (SECTIONS, _CONTEXT | {_FEATURES}),
    "contextless.md": (SECTIONS, frozenset()),
    "thinking.md": (SECTIONS[:2], _CONTEXT),
    "judge.md": (SECTIONS, _CONTEXT | {_FEATURES, "golden", "candidate"}),
    "teacher.md": (SECTIONS, _CONTEXT | {"golden"}),
}
"""The sections each file must have, `# system` if it likes, and the placeholders it may have."""
_NEEDED: dict[str, dict[str, str]] = {
    "responder.md": {_FEATURES: "the responder would never see any reasoning"},
    "judge.md": {"golden": "the judge would have nothing to compare with", "candidate": "the judge would see no reply"},
    "teacher.md": {"golden": "the teacher would know no more than the reasoner"},
}
"""The placeholders a file must have, and what lacks without them."""


@dataclass(frozen=True)
class Prompts:
    """Templates, each a mapping section -> text; `fingerprint` is the sha256 of their files."""

    templates: dict[str, dict[str, str]]
    fingerprint: str

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Prompts:
        """The templates of `folder`, by default the package's. Raises UserError with the faults of all files."""
        faults: list[str] = []
        shipped = importlib.resources.files(__package__) / "prompts"
        templates, digest = {}, hashlib.sha256()
        for name, where, text in folder_texts(folder, shipped, tuple(_FILES), "a prompts folder", digest, faults):
            templates[name] = sections_of(text, where, *_FILES[name], _NEEDED.get(name, {}), faults)
        raise_all(faults)
        return cls(templates, digest.hexdigest())

    def policy(self, record: Record, thinking: bool = False) -> Messages:
        """The conversation to which the model under evaluation replies; `thinking`, after a reasoning of its own."""
        return self._messages("thinking.md" if thinking else "policy.md", _context(record))

    def reasoner(self, record: Record) -> tuple[Messages, str]:
        """The conversation, and how the reasoner's turn opens: inside the block of core features.

        The opening is part of the reasoning (docs/protocol.md, rule 18): `parsing.core_features` expects it before what was
        generated.
        """
        return self._messages("reasoner.md", _context(record)), self._opening("reasoner.md")

    def responder(self, record: Record, core_features: str | None) -> tuple[Messages, str]:
        """The conversation, and the header that stands before the reply and is not scored.

        None and "" (the reasoning held no core features) give the same prompt, the one without reasoning.
        """
        return self._messages("responder.md", _context(record), core_features or None), self._opening("responder.md")

    def contextless(self) -> tuple[Messages, str]:
        """The responder's conversation without any context, for the q_0 of `prompt_marginal` (docs/metric.md, section 3)."""
        return self._messages("contextless.md", {}), self._opening("contextless.md")

    def judge(self, record: Record, core_features: str | None, candidate: str) -> tuple[Messages, str]:
        """The conversation in which a judge compares `candidate` with the golden reply, and how its answer opens."""
        values = _context(record) | {"golden": record.golden, "candidate": candidate}
        return self._messages("judge.md", values, core_features or None), self._opening("judge.md")

    def teacher(self, record: Record) -> tuple[Messages, str]:
        """The conversation in which a model that sees the golden reply writes the reasoning that leads to it."""
        values = _context(record) | {"golden": record.golden}
        return self._messages("teacher.md", values), self._opening("teacher.md")

    def _messages(self, name: str, values: dict[str, str], core_features: str | None = None) -> Messages:
        template = self.templates[name]
        roles = [role for role in ("system", "user") if role in template]
        return [{"role": role, "content": filled(template[role], values, core_features)} for role in roles]

    def _opening(self, name: str) -> str:
        return self.templates[name]["assistant opening"] + "\n"


def _context(record: Record) -> dict[str, str]:
    return {"user_persona": record.user_persona, "character": record.character_text, "dialogue": record.dialogue_text}


def filled(template: str, values: Mapping[str, str], core_features: str | None = None) -> str:
    """Returns a section with texts in the place of placeholders; a paragraph with core features goes where there are none."""
    if core_features is None:
        template = "\n\n".join(p for p in template.split("\n\n") if f"{{{_FEATURES}}}" not in p)
    else:
        values = {**values, _FEATURES: core_features}
    # One pass: braces inside a record's text are never looked at again.
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def folder_texts(
    folder: str | Path | None, shipped: Traversable, names: Sequence[str], called: str, digest: Any, faults: list[str]
) -> Iterator[tuple[str, str, str]]:
    """Yields (file's name, its place, its text) of a folder of prompts, or without one of the package's, `shipped`.

    Files enter `digest`, one of hashlib's. What cannot be read is added to `faults`, with what a folder so `called` holds.
    """
    root = shipped if folder is None else Path(folder)
    for name in names:
        where = f"{folder or shipped.name}/{name}"
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            faults.append(f"{where}: cannot be read ({reason}): {called} holds {', '.join(names)}")
            continue
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
        yield name, where, text


def sections_of(
    text: str,
    where: str,
    required: Sequence[str],
    allowed: Collection[str],
    needed: Mapping[str, str],
    faults: list[str],
) -> dict[str, str]:
    """Returns the sections of one file, without the blank lines around them; its faults are added to `faults`.

    It must have the sections `required`, `# system` if it likes, may have the placeholders `allowed`, and must have those that
    are `needed`, each with what lacks without it.
    """
    before, *parts = _HEADING.split(text.replace("\r\n", "\n").removeprefix("\ufeff"))
    found = dict(zip(parts[::2], (part.strip("\n") for part in parts[1::2]), strict=True))
    if before.strip():
        faults.append(f"{where}: text before the first section: begin with `# {required[0]}`")
    faults += [f"{where}: section `# {s}` occurs twice" for s in SECTIONS if parts[::2].count(s) > 1]
    wanted = [s for s in required if s in found or s != "system"]  # not every model has a place for a system message
    faults += [f"{where}: section `# {s}` is missing or empty" for s in wanted if not found.get(s, "").strip()]
    faults += [f"{where}: section `# {s}` has no place here" for s in found if s not in required]
    for section, content in found.items():
        here = () if section == SECTIONS[2] else allowed
        known = ", ".join(f"{{{p}}}" for p in sorted(here)) or "none"
        unknown = sorted(set(_PLACEHOLDER.findall(content)) - set(here))
        faults += [f"{where}: unknown placeholder {{{p}}} in `# {section}`, which may hold {known}" for p in unknown]
    faults += [f"{where}: {{{p}}} is missing: {lack}" for p, lack in needed.items() if f"{{{p}}}" not in text]
    return found
