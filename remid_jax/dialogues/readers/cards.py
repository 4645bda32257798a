"""Character cards, versions 1 to 3, as JSON or inside a PNG (the chunks `ccv3` and `chara`).

What describes the character is read: name, description, personality, scenario and examples of dialogue. Greetings, lore books,
a frontend's instructions and the maker's notes are not part of a character and stay out.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from pydantic import BaseModel, ConfigDict

from remid_jax.dialogues.faults import kind, meant
from remid_jax.dialogues.names import in_texts
from remid_jax.dialogues.validated import validated
from remid_jax.errors import UserError
from remid_jax.files import parse_json, read_bytes

SPECS = ("chara_card_v2", "chara_card_v3")
CHUNKS = ("ccv3", "chara")  # a card of version 3 may hold an older one as well
SUFFIXES = (".png", ".json")
_PNG = b"\x89PNG\r\n\x1a\n"
_DRAWN_ANEW = re.compile(r"\{\{\s*(random|pick|roll)\b.*?\}\}", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"\{\{\s*(//|comment:|hidden_key:).*?\}\}", re.IGNORECASE | re.DOTALL)


class Card(NamedTuple):
    """A character in the order of every prompt, with `{{char}}` and `{{user}}` as they stand, and the name for `{{char}}`."""

    character: dict[str, Any]
    name: str


class _Described(BaseModel):
    """The fields of a card that are read; others are let pass."""

    model_config = ConfigDict(extra="ignore", strict=True)
    name: str
    nickname: str | None = None
    description: str = ""
    personality: str = ""
    scenario: str = ""
    mes_example: str = ""


def read_card(path: str | Path) -> Card:
    """Returns the character of a card.

    Raises:
      UserError: one line with every fault.
    """
    data = read_bytes(path)
    value, faults = parse_json(_embedded(data, path) if data.startswith(_PNG) else data)
    if not faults:
        card = _card(value, faults)
    if faults:
        raise UserError(" ".join("; ".join(f"{path}: {fault}" for fault in faults).split()))
    return card


def _card(value: Any, faults: list[str]) -> Card:
    nothing = Card({}, "")
    if not isinstance(value, dict):
        faults.append(f"a character card must be an object, not {kind(value)}")
        return nothing
    described = value
    if "spec" in value:
        if value["spec"] not in SPECS:
            faults.append(f"spec: {value['spec']!r} is none of {', '.join(SPECS)}{meant(str(value['spec']), SPECS)}")
        if not isinstance(value.get("data"), dict):
            faults.append("data: missing" if "data" not in value else f"data: must be an object, not {kind(value['data'])}")
            return nothing
        described = value["data"]
    read = validated(_Described, described, faults)
    if read is None:
        return nothing
    texts = {
        "name": read.name,
        "description": read.description,
        "personality": read.personality,
        "scenario": read.scenario,
        "examples": read.mes_example,
    }
    if not read.name.strip():
        faults.append("name: empty")
    elif not any(text.strip() for text in list(texts.values())[1:]):
        faults.append("describes nobody: description, personality, scenario and mes_example are empty")
    for field, text in texts.items():
        if found := _DRAWN_ANEW.search(text):
            name = "mes_example" if field == "examples" else field
            faults.append(f"{name}: {found[0]} means another text each time: write the one that you mean")
    character = in_texts(texts, lambda text: _COMMENT.sub("", text).strip())
    return Card({field: text for field, text in character.items() if text}, (read.nickname or read.name).strip())


def _embedded(data: bytes, path: str | Path) -> bytes:
    """The JSON of the card that a PNG holds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                image.load()  # a chunk of text may come after the picture
                texts = dict(getattr(image, "text", {}))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: is a broken PNG ({error}): fetch or export the card again") from error
    chunk = next((name for name in CHUNKS if name in texts), None)
    if chunk is None:
        raise UserError(
            f"{path}: holds no character card: it would be in a chunk {' or '.join(CHUNKS)}, which some tools strip"
        )
    try:
        return base64.b64decode("".join(texts[chunk].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{path}: chunk {chunk}: is no base64 ({error}): export the card again") from error
