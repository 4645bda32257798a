"""People's texts cannot write control tokens: their names stay text wherever a person, and not the template, wrote them.

Transformers has a shield of its own for chats (`sanitize_control_tokens`), which cuts a text at each such name, so that what
stands beside it gets other ids. Here a text is encoded in one piece, split exactly as if the name were any other words.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable

import tokenizers
from tokenizers import AddedToken

# Besides the tokens marked special: some makers leave the mark off, but nobody gives such a name to a piece of text.
CONTROL_NAME = re.compile(r"<[|｜].*[|｜]>", re.DOTALL)


class Controls:
    """The control tokens of a tokenizer, by name, and stand-ins for the names that people wrote."""

    def __init__(self, backend: tokenizers.Tokenizer):
        added = backend.get_added_tokens_decoder().items()
        self.tokens = {i: token for i, token in added if token.special or CONTROL_NAME.fullmatch(token.content)}
        self.ids = {token.content: i for i, token in self.tokens.items()}
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
        self._blind: tokenizers.Tokenizer | None = None
        self._id_of_alias: dict[int | None, int] = {}

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text: control tokens where it has their names, the names as text where it has stand-ins."""
        if not self._controls.hidden_in(text):
            return self._plain(text)
        if self._blind is None:
            self._blind = blind(self._backend, self._controls)
            aliases = self._controls.aliases.items()
            self._id_of_alias = {self._blind.token_to_id(alias): self._controls.ids[name] for name, alias in aliases}
        ids = self._blind.encode(self._controls.aliased(text), add_special_tokens=False).ids
        return [self._id_of_alias.get(i, i) for i in ids]


def blind(backend: tokenizers.Tokenizer, controls: Controls) -> tokenizers.Tokenizer:
    """A copy that takes the names of control tokens for text, and reads their aliases in their place."""
    raw = json.loads(backend.to_str())
    for token in raw["added_tokens"]:
        token["special"] |= token["id"] in controls.tokens
    copy = tokenizers.Tokenizer.from_str(json.dumps(raw))
    copy.add_tokens(
        [
            AddedToken(
                controls.aliases[token.content], single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip,
                normalized=token.normalized,
            )
            for token in controls.tokens.values()
        ]
    )  # fmt: skip
    copy.encode_special_tokens = True
    return copy


def without_prefix_space(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer | None:
    """A copy that puts no space before a text, in the manner of SentencePiece; None where the tokenizer puts none anyway."""
    raw = json.loads(backend.to_str())
    changed = {part: _plain_beginning(raw[part]) for part in ("normalizer", "pre_tokenizer")}
    if all(changed[part] == raw[part] for part in changed):
        return None
    return tokenizers.Tokenizer.from_str(json.dumps(raw | changed))


def _plain_beginning(part: dict | None) -> dict | None:
    """A normalizer or pre-tokenizer, as tokenizer.json writes it, without what it puts before a text."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Sequence":
        key = "normalizers" if "normalizers" in part else "pretokenizers"
        parts = [_plain_beginning(inner) for inner in part[key]]
        return part | {key: [inner for inner in parts if inner is not None]}
    if part["type"] == "Metaspace":
        return part | {"prepend_scheme": "never"}
    if part["type"] == "ByteLevel":
        return part | {"add_prefix_space": False}
    return part


def any_of(strings: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the strings, the longest where several fit, as the backends do."""
    return re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or "(?!)")
