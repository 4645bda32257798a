"""What a model thinks and what it says: thoughts stand between tags, which its chat template declares, and are no reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

Tags = tuple[str, str]

USUAL: Tags = ("<think>", "</think>")
# How makers shape a pair of tags; what stands between is the name of a thought.
SHAPES = (
    ("<", ">", "</", ">"),
    ("[", "]", "[/", "]"),
    ("<|START_", "|>", "<|END_", "|>"),
    ("<|begin_of_", "|>", "<|end_of_", "|>"),
)
NAME = r"[\w:.-]*(?:think|thought|reason)[\w:.-]*"


class Spoken(NamedTuple):
    """A generated text taken apart. `ended`: no thought is still open where the text ends."""

    said: str
    thoughts: str
    ended: bool


def thought_tags(template: str | None) -> tuple[Tags, ...]:
    """Returns the pairs of tags (opening, closing) that a chat template declares, and the usual one."""
    found = [USUAL]
    for opens, opened, closes, closed in SHAPES:
        for name in re.findall(f"{re.escape(closes)}({NAME}){re.escape(closed)}", template or "", re.IGNORECASE):
            if f"{opens}{name}{opened}" in (template or ""):
                found.append((f"{opens}{name}{opened}", f"{closes}{name}{closed}"))
    return tuple(dict.fromkeys(found))


def opened_thought(generation_prompt: str, tags: Sequence[Tags]) -> str:
    """Returns the opening tag with which a template begins the model's turn for it, or ""."""
    return next((opening for opening, _ in tags if generation_prompt.rstrip().endswith(opening)), "")


def split_thoughts(generated: str, tags: Sequence[Tags], opened: str = "") -> Spoken:
    """Takes a generated text apart into what was said and what was thought, both without the tags.

    `opened` is the tag that stood before the text already. What comes before a closing tag without an opening one is a thought;
    a thought that no tag closes goes on to the end of the text.

    >>> split_thoughts("<think>He is sad.</think> Cheer up!", [USUAL])
    Spoken(said='Cheer up!', thoughts='He is sad.', ended=True)
    """
    closing_of = dict(tags)
    any_tag = "|".join(re.escape(tag) for tag in sorted({tag for pair in tags for tag in pair}, key=len, reverse=True))
    said: list[str] = []
    thoughts: list[str] = []
    awaited = closing_of.get(opened)
    for n, piece in enumerate(re.split(f"({any_tag})", generated)):
        if n % 2 == 0:
            (said if awaited is None else thoughts).append(piece)
        elif awaited is None and piece in closing_of:
            awaited = closing_of[piece]
        elif awaited is None:  # its opening was never written: all before it was thought
            thoughts += said
            said.clear()
        elif piece == awaited:
            awaited = None
        else:  # another pair's tag, inside a thought
            thoughts.append(piece)
    return Spoken("".join(said).strip(), "".join(thoughts).strip(), awaited is None)
