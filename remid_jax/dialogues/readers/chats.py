"""Chats as people keep them: `messages` as OpenAI's fine-tuning files have them, `conversations` as ShareGPT's have them.

The system message describes the character, the last message is the golden reply; messages of one speaker in a row are one turn
of several lines. Other keys that a row may have: `id`,
`lineage`, `category`, `user_persona`, `user_name` and `agent_character`; what else it holds is let pass.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from remid_jax.dialogues.faults import kind, nearest
from remid_jax.dialogues.readers.conversations import Conversation, Report, lineage_of, text_of
from remid_jax.dialogues.records import Turn

Role = Literal["system", "user", "agent"]


class ChatForm(NamedTuple):
    """The keys of a format: of the list, of a message's speaker and text; and who each speaker is."""

    messages: str
    speaker: str
    text: str
    roles: Mapping[str, Role]


MESSAGES = ChatForm(
    "messages", "role", "content", {"system": "system", "developer": "system", "user": "user", "assistant": "agent"}
)
SHAREGPT = ChatForm(
    "conversations", "from", "value",
    {"system": "system", "human": "user", "user": "user", "gpt": "agent", "assistant": "agent", "chatgpt": "agent"},
)  # fmt: skip
ALIASES = {"id": ("id", "sample_ID"), "category": ("category", "subset_tag")}
PLAIN = ("user_persona", "user_name")


def conversation_of(row: dict[str, Any], report: Report, form: ChatForm, golden_optional: bool) -> Conversation:
    """Returns the conversation of a row, and reports its faults."""
    for key in row:
        near = _meant(key, form.messages)
        if near != key and near is not None and near not in row:
            report(f"{key}: unknown key (did you mean {near!r}?)")
    texts = {}
    fields = {role: next((name for name in names if name in row), names[0]) for role, names in ALIASES.items()}
    for role, field in (*fields.items(), *((name, name) for name in PLAIN)):
        value = row.get(field)
        value = str(value) if role == "id" and type(value) is int else value
        texts[role] = "" if value is None else text_of(value, field, report, may_be_empty=role == "user_persona")
    lineage, clusters = ("", {}) if row.get("lineage") is None else lineage_of(row["lineage"], report)
    system, turns = _turns(row.get(form.messages), row, report, form, golden_optional)
    character = row.get("agent_character")
    if system and isinstance(character, dict) and "description" not in character:
        character = {**character, "description": system}
    elif system and character is not None:
        report(f"agent_character: describes the character, as the system message of {form.messages} does: keep one of them")
        character = None
    return Conversation(
        id=texts["id"],
        lineage=lineage,
        clusters=clusters,
        category=texts["category"],
        user_persona=texts["user_persona"],
        user_name=texts["user_name"],
        character={"description": system} if system and character is None else character,
        turns=turns,
        id_field=fields["id"],
        category_field=fields["category"],
    )


@functools.lru_cache(1024)
def _meant(key: str, messages: str) -> str | None:
    """The key that is meant, if it is spelt almost like one of ours."""
    known = [name for names in ALIASES.values() for name in names] + [*PLAIN, "lineage", "agent_character", messages]
    return key if key in known else nearest(key, known, 0.8)


def _turns(
    value: object, row: Collection[str], report: Report, form: ChatForm, golden_optional: bool
) -> tuple[str, tuple[Turn, ...]]:
    """(system message, turns); without turns where one of them cannot be read."""
    field = form.messages
    if not isinstance(value, list) or not value:
        report(f"{field}: {'empty' if value == [] else f'must be a list, not {kind(value)}' if field in row else 'missing'}")
        return "", ()
    system, whole = "", True
    turns: list[Turn] = []
    for i, message in enumerate(value):
        at = f"{field}[{i}]"
        speaker = message.get(form.speaker) if isinstance(message, dict) else None
        role = form.roles.get(speaker) if isinstance(speaker, str) else None
        if role is None or form.text not in message:
            names = ", ".join(form.roles)
            report(f'{at}: must be {{"{form.speaker}": one of {names}, "{form.text}": text}}')
            whole = False
            continue
        content = text_of(_joined(message[form.text]), f"{at}.{form.text}", report)
        if role != "system":
            if turns and turns[-1].speaker == role:
                content = f"{turns.pop().text}\n{content}"
            turns.append(Turn(role, content))
        elif i > 0:
            report(f"{at}: a system message must be the first, and the only one")
        else:
            system = content
    if not whole:
        return system, ()
    if not any(turn.speaker == "user" for turn in turns):
        report(f"{field}: the user says nothing")
    elif turns[-1].speaker == "user" and not golden_optional:
        report(f"{field}: ends with the user: the last message must be the golden reply")
    return system, tuple(turns)


def _joined(content: object) -> Any:
    """The text of a content in parts, where all are texts; anything else as it is."""
    if isinstance(content, list) and content and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "".join(part["text"] for part in content)
    return content
