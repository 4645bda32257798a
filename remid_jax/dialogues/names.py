"""The names that `{{char}}` and `{{user}}` stand for, as character cards and their dialogues write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

USER = "User"  # what a user without a name is called, as in a dialogue's transcript
_CHARACTER = re.compile(r"\{\{\s*char\s*\}\}|<BOT>", re.IGNORECASE)
_USER = re.compile(r"\{\{\s*user\s*\}\}|<USER>", re.IGNORECASE)


def fill_names(text: str, character: str, user: str) -> str:
    """Returns the text with the names of the character and the user where `{{char}}`, `<BOT>`, `{{user}}`, `<USER>` stand.

    The case does not matter. A character without a name, "", leaves its places as they are.
    """
    named = _USER.sub(lambda _: user or USER, text)
    return _CHARACTER.sub(lambda _: character, named) if character else named


def wants_character(text: str) -> bool:
    """Whether the text has a place for the character's name."""
    return bool(_CHARACTER.search(text))


def in_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Returns a JSON value with every text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [in_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {key: in_texts(item, change) for key, item in value.items()}
    return value
