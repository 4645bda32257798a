"""What is kept of a generated text: the core features of a reasoning (protocol.md 18), the reply of a policy (method.md 7)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Fallback = Literal["empty", "whole_text"]
MARKER = "[Core Features of the Golden Response]"
OPEN, CLOSE = "<Agent Response>", "</Agent Response>"
_FENCE = re.compile(r"`{3,}")


class Parsed(NamedTuple):
    """The core features, and whether they had to be taken from elsewhere than a fenced block."""

    text: str
    fallback: bool


def core_features(reasoning: str, fallback: Fallback = "empty") -> Parsed:
    """What follows the marker in the last fenced block that has it; else what follows the last marker; else nothing.

    A block that is still open where the text ends counts: generation stops at its token limit. A block with the marker and
    nothing after it does not. `fallback="whole_text"` keeps the whole reasoning where there is no marker, as the authors do.
    """
    blocks = _FENCE.split(reasoning)[1::2]
    for block in reversed(blocks):
        text = block.rpartition(MARKER)[2].strip() if MARKER in block else ""
        if text:
            return Parsed(text, False)
    if MARKER in reasoning:
        return Parsed(_FENCE.sub("", reasoning.rpartition(MARKER)[2]).strip(), True)
    return Parsed(reasoning.strip() if fallback == "whole_text" else "", True)


def reply_text(generated: str) -> str:
    """The reply in a policy's output: what stands between <Agent Response> tags (either may be missing), without the header
    `## Agent Response` and without white space around it."""
    text = generated.partition(CLOSE)[0].rpartition(OPEN)[2].strip()
    return text.removeprefix("## Agent Response").strip()


def thought_reply(generated: str) -> tuple[str, bool]:
    """(the reply that follows a reasoning, whether its closing tag came). Without an opening tag it is all reasoning: ""."""
    head, closing, _ = generated.partition(CLOSE)
    return reply_text(generated) if OPEN in head else "", bool(closing)


def thinking_text(reasoning: str, reply: str) -> str:
    """What a thinking policy writes, `thought_reply`'s inverse."""
    return f"{reasoning.strip()}\n{OPEN}\n{reply}\n{CLOSE}"
