"""What is kept of a generated text: the core features of a reasoning (docs/protocol.md, rule 18), the reply of a policy."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Fallback = Literal["empty", "whole_text"]
MARKER = "[Core Features of the Golden Response]"
OPEN, CLOSE = "<Agent Response>", "</Agent Response>"
_FENCE = re.compile(r"`{3,}")
_LANGUAGE = re.compile(r"[ \t]*[A-Za-z][\w+#.-]*[ \t]*")


class Parsed(NamedTuple):
    """The core features, and whether they had to be taken from elsewhere than a fenced block."""

    text: str
    fallback: bool


def core_features(reasoning: str, fallback: Fallback = "empty") -> Parsed:
    """What follows the marker in the last fenced block that has it; else what follows the last marker; else nothing.

    A block that is still open where the text ends counts: generation stops at its token limit. A block with the marker and
    nothing after it does not. Fences inside the block belong to it. `fallback="whole_text"` keeps the whole reasoning where
    there is no marker, as the authors do.
    """
    for block in reversed(_blocks(reasoning)):
        text = block.rpartition(MARKER)[2].strip() if MARKER in block else ""
        if text:
            return Parsed(text, False)
    if MARKER in reasoning:
        return Parsed(_FENCE.sub("", reasoning.rpartition(MARKER)[2]).strip(), True)
    return Parsed(reasoning.strip() if fallback == "whole_text" else "", True)


def _blocks(text: str) -> list[str]:
    """The insides of the outermost fenced blocks, with the fences inside them.

    A fence with an info string that begins a line inside a block (```python) opens another, and the next as long without one
    closes that. Fences shorter than the block's own are text.
    """
    blocks: list[str] = []
    opened: list[re.Match[str]] = []
    for fence in _FENCE.finditer(text):
        if not opened:
            opened = [fence]
        elif len(fence[0]) < len(opened[0][0]):
            continue
        elif _opens(text, fence):
            opened.append(fence)
        elif len(opened) > 1:
            opened.pop()
        else:
            blocks.append(text[opened.pop().end() : fence.start()])
    return [*blocks, text[opened[0].end() :]] if opened else blocks


def _opens(text: str, fence: re.Match[str]) -> bool:
    """Whether a fence inside a block opens another: it begins its line, and the name of a language follows."""
    before, after = text[: fence.start()].rpartition("\n")[2], text[fence.end() :].partition("\n")[0]
    return not before.strip() and bool(_LANGUAGE.fullmatch(after))


def reply_text(generated: str) -> str:
    """The reply in a policy's output: what stands between <Agent Response> tags (either may be missing), without the header
    `## Agent Response` and without white space around it.

    >>> reply_text("I think so. <Agent Response> Good day! </Agent Response>")
    'Good day!'
    """
    text = generated.partition(CLOSE)[0].rpartition(OPEN)[2].strip()
    return text.removeprefix("## Agent Response").strip()


def thought_reply(generated: str) -> tuple[str, bool]:
    """(the reply that follows a reasoning, whether its closing tag came). Without an opening tag it is all reasoning: "".

    >>> thought_reply("He is sad. <Agent Response> Cheer up! </Agent Response>")
    ('Cheer up!', True)
    """
    head, closing, _ = generated.partition(CLOSE)
    return reply_text(generated) if OPEN in head else "", bool(closing)


def thinking_text(reasoning: str, reply: str) -> str:
    """What a thinking policy writes, `thought_reply`'s inverse."""
    return f"{reasoning.strip()}\n{OPEN}\n{reply}\n{CLOSE}"
