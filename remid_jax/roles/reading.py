"""How the models of a run read texts: control tokens, the day, and the settings of chat templates."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Literal, TypedDict

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.files import read_text, write_text
from remid_jax.models.chat_templates import ControlTokens
from remid_jax.parallel import from_first_host, is_first_host

DAY = "day.txt"
Thinking = Literal["no", "tags", "native"]
WORDS: dict[str, Thinking] = {"no": "no", "false": "no", "tags": "tags", "true": "tags", "native": "native"}


class Reading(TypedDict):
    """What all models of a run have in common."""

    control_tokens: ControlTokens
    date: datetime.date


def reading_of(config: ConfigDict, workdir: Path | None = None) -> Reading:
    """Returns `config.control_tokens` and the day that chat templates write: `config.date`, or the day the run began.

    That day is kept in a workdir, where there is one, so that a run that goes on after midnight has the same prompts.

    Raises:
      UserError: if a date is none.
    """
    day, kept = config.date, workdir / DAY if workdir else None
    if is_first_host() and not day:
        if kept and kept.is_file():
            day = read_text(kept).strip()
        else:
            day = datetime.date.today().isoformat()
            if kept:
                write_text(kept, day + "\n")
    [told] = from_first_host([day.encode() if day else None])  # the others may have another clock, and no common disk
    try:
        date = datetime.date.fromisoformat((told or b"").decode())
    except ValueError as error:
        where = "config.date" if config.date else str(kept)
        raise UserError(f"{where}: {day!r} is no date: write it as 2026-01-31") from error
    return {"control_tokens": config.control_tokens, "date": date}


def template_settings(text: str | None, name: str) -> dict[str, Any]:
    """Returns the settings that a config passes to a chat template, written as a JSON object: '{"enable_thinking": true}'.

    Raises:
      UserError: if it is none.
    """
    try:
        settings = json.loads(text) if text else {}
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise UserError(f"""{name}={text!r}: must be a JSON object, for example '{{"enable_thinking": false}}'""")
    return settings


def thinking_of(word: str | bool) -> Thinking:
    """Returns how a policy thinks: not at all, between our tags, or as its own template has it.

    Raises:
      UserError: for another word.
    """
    if str(word).lower() not in WORDS:
        raise UserError(f"config.policy.thinking={word!r}: choose no, tags or native")
    return WORDS[str(word).lower()]
