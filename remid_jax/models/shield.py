"""People's texts cannot write control tokens: their names stay text wherever a person, and not the template, wrote them.

Transformers has a shield of its own for chats (`sanitize_control_tokens`), which cuts a text at each such name, so that what
stands beside it gets other ids. Here a text is encoded in one piece, split exactly as if the name were any other words.
"""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping

import tokenizers
from tokenizers import AddedToken

# Besides the tokens marked special: some makers leave the mark off, but nobody gives such a name to a piece of text.
CONTROL_NAME = re.compile(r"<[|｜].*[|｜]>", re.DOTALL)


class Controls:
    """The control tokens of a tokenizer, by name, and stand-ins for the names that people wrote."""

    def __init__(self, backend: tokenizers.Tokenizer):
        added = backend.get_added_tokens_decoder().items()
        self.ids = {token.content: i for i, token in added if token.special or CONTROL_NAME.fullmatch(token.content)}
        self.name = any_of(self.ids)
        nonce = secrets.token_hex(8)  # no text can hold what is drawn anew in each process
        self.aliases = {name: f"\ue000{nonce}.{i}\ue000" for name, i in self.ids.items()}
        self._standins = {name: f"\ue001{nonce}.{i}\ue001" for name, i in self.ids.items()}
        self._names = {standin: name for name, standin in self._standins.items()}
        self._standin = any_of(self._names)

    def hide(self, text: str) -> str:
        """Returns a person's text with a stand-in for each control token's name."""
        return self.name.sub(lambda name: self._standins[name[0]], text)

    def hidden_in(self, text: str) -> bool:
        """Whether the text holds a stand-in."""
        return self._standin.search(text) is not None

    def aliased(self, text: str) -> str:
        """Returns the text with an alias for each name, and then a name for each stand-in."""
        text = self.name.sub(lambda name: self.aliases[name[0]], text)
        return self._standin.sub(lambda standin: self._names[standin[0]], text)


class Shield:
    """Encodes texts in which stand-ins of `controls` are names that people wrote; `plain` encodes those without any."""

    def __init__(self, backend: tokenizers.Tokenizer, controls: Controls, plain: Callable[[str], list[int]]):
        self._backend, self._controls, self._plain = backend, controls, plain

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text: control tokens where it has their names, the names as text where it has stand-ins."""
        if not self._controls.hidden_in(text):
            return self._plain(text)
        return self._blind.encode(self._controls.aliased(text), add_special_tokens=False).ids

    @functools.cached_property
    def _blind(self) -> tokenizers.Tokenizer:
        return blind(self._backend, self._controls.aliases)


def blind(backend: tokenizers.Tokenizer, aliases: Mapping[str, str]) -> tokenizers.Tokenizer:
    """A copy that reads control tokens by their aliases alone, so that their names are text to it."""
    raw = json.loads(backend.to_str())
    for token in raw["added_tokens"]:
        token["content"] = aliases.get(token["content"], token["content"])
    model = raw["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {aliases.get(piece, piece): i for piece, i in model["vocab"].items()}
    else:
        model["vocab"] = [[aliases.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in aliases:
        model["unk_token"] = aliases[model["unk_token"]]
    return tokenizers.Tokenizer.from_str(json.dumps(raw))


def without_prefix_space(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer | None:
    """A copy that puts no space before a text, in the manner of SentencePiece; None where the tokenizer puts none anyway."""
    raw = json.loads(backend.to_str())
    changed = {part: _plain_beginning(raw[part]) for part in ("normalizer", "pre_tokenizer")}
    if all(changed[part] == raw[part] for part in changed):
        return None
    return tokenizers.Tokenizer.from_str(json.dumps(raw | changed))


def _plain_beginning(part: dict | None, first: bool = True) -> dict | None:
    """A normalizer or pre-tokenizer, as tokenizer.json writes it, without what it puts before a text.

    What is not `first` to see a text sees pieces of it, and puts a space before each: that is no beginning.
    """
    at_beginning = part is not None and str(part.get("pattern", {}).get("Regex", "")).startswith(("^", r"\A"))
    if part is None or part["type"] == "Prepend" or (part["type"] == "Replace" and at_beginning):
        return None
    if part["type"] == "Sequence":
        key = "normalizers" if "normalizers" in part else "pretokenizers"
        parts = [_plain_beginning(inner, first and n == 0) for n, inner in enumerate(part[key])]
        return part | {key: [inner for inner in parts if inner is not None]}
    if part["type"] == "Metaspace" and (first or part["prepend_scheme"] == "first"):
        return part | {"prepend_scheme": "never"}
    if part["type"] == "ByteLevel" and first:
        return part | {"add_prefix_space": False}
    return part


def as_read(tokens: Iterable[AddedToken]) -> re.Pattern[str]:
    """Matches any of the tokens where a backend reads it, with the space before it that it swallows."""
    longest_first = sorted(tokens, key=lambda token: len(token.content), reverse=True)
    patterns = []
    for token in longest_first:
        name = re.escape(token.content)
        name = rf"(?<!\w){name}(?!\w)" if token.single_word else name
        patterns.append(rf"\s*{name}" if token.lstrip else name)
    return re.compile("|".join(patterns) or "(?!)")


def any_of(strings: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the strings, the longest where several fit, as the backends do."""
    return re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or "(?!)")
