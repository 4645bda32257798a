"""Text and chats to token ids and back, by transformers' own tokenizers and chat templates.

Ids are the library's in every case but two, which it leaves to its callers:

- An answer is a *continuation*. Tokenizers in the manner of SentencePiece put a space before whatever they are given; an answer
  gets none that it does not hold, as if it stood behind its prompt in one text.
- What people write must not steer a model. With `control_tokens="text"` the name of a control token, such as `<|im_end|>`, is
  plain text inside messages and answers; the template alone writes control tokens. With "tokens" names are read, as the
  library reads them. A text without such a name has the same ids either way.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import tokenizers

from remid_jax.errors import UserError
from remid_jax.files import read_object
from remid_jax.models.chat_templates import ChatTemplate, ControlTokens, Messages, Reading
from remid_jax.models.shield import Controls, Shield, as_read, without_prefix_space

if TYPE_CHECKING:  # imported when a tokenizer is opened: it takes seconds
    from transformers import PreTrainedTokenizerBase

FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "spiece.model", "tekken.json",
    "tiktoken.model",
)  # fmt: skip
BESIDE = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "merges.txt")  # opened with one of FILES
JSON_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # a warning of transformers' for texts of one piece
THINKING = ("enable_thinking", "thinking")  # what templates call their switch


class Tokenizer:
    """A tokenizer of transformers with its chat template; `place` is what error messages call it."""

    def __init__(self, library: PreTrainedTokenizerBase, place: str, reading: Reading | None = None):
        backend = getattr(library, "backend_tokenizer", None)
        if backend is None:
            raise UserError(
                f"{place}: its tokenizer, {type(library).__name__}, is written in Python alone and cannot be read exactly: "
                "save it with a tokenizer.json (transformers' save_pretrained), or name another model"
            )
        library.deprecation_warnings[TOO_LONG] = True  # whoever plans the rows knows what fits
        self.place, self.reading = place, reading or Reading()
        self._library, self._backend = library, backend
        self._controls = Controls(backend)
        self.chat = ChatTemplate(library, place, self.reading)

    @classmethod
    def from_directory(cls, directory: str | Path) -> Tokenizer | None:
        """Opens the tokenizer of a model's directory as `transformers.AutoTokenizer` does; None if there is none.

        Raises:
          UserError: if a file of it is broken, or transformers cannot open it.
        """
        directory = Path(directory)
        if not any((directory / name).is_file() for name in FILES):
            return None
        try:
            library = transformers_library().AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # whatever a broken file makes of it; the library raises nothing more special
            for name in JSON_OBJECTS:  # its words for a broken one name no file
                if (directory / name).is_file():
                    read_object(directory / name, "fetch the model again")
            raise UserError(
                f"{directory}: transformers cannot open its tokenizer ({_line(error)}): fetch the model again, or install what "
                "this asks for"
            ) from error
        return cls(library, str(directory))

    @classmethod
    def from_backend(
        cls, backend: tokenizers.Tokenizer, template: str | None, names: Mapping[str, str], place: str
    ) -> Tokenizer:
        """Makes a tokenizer of what the tokenizers library built.

        `names` are its special tokens by their roles: "bos_token", "eos_token", ...; those not in its vocabulary are left out.
        """
        known = backend.get_vocab(with_added_tokens=True)
        roles = {role: name for role, name in names.items() if name in known}
        return cls(
            transformers_library().PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **roles), place
        )

    def configured(self, thinking: bool | None = None, **changes: Any) -> Tokenizer:
        """Returns this tokenizer with other settings of `Reading`; `thinking` sets the template's switch, where it has one.

        Raises:
          UserError: for a setting that means nothing.
        """
        reading = dataclasses.replace(self.reading, **changes)
        if reading.control_tokens not in get_args(ControlTokens):
            choices = " or ".join(get_args(ControlTokens))
            raise UserError(f"config.control_tokens={reading.control_tokens!r}: choose {choices}")
        if thinking is not None:
            reading = dataclasses.replace(reading, template={**dict.fromkeys(THINKING, thinking), **reading.template})
        return Tokenizer(self._library, self.place, reading)

    def save(self, directory: str | Path) -> None:
        """Writes the files from which transformers' AutoTokenizer, and `from_directory`, make the same tokenizer.

        A tokenizer already in the directory is replaced.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        remove_tokenizer(directory)
        self._library.save_pretrained(directory)

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over all that decides which ids a text or chat gets."""
        reading = dataclasses.asdict(self.reading) | {"date": str(self.reading.date) if self.chat.writes_date else None}
        parts = [self._backend.to_str(), self.chat.text, dict(self._library.special_tokens_map), reading]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def has_chat_template(self) -> bool:
        return self.chat.text is not None

    @functools.cached_property
    def end_of_turn_id(self) -> int:
        """The control token that the chat template writes behind an assistant's message, or else the end of the sequence.

        Raises:
          UserError: if there is neither.
        """
        written = self._controls.name.match(self.chat.after_answer.lstrip())
        if written:
            return self._controls.ids[written[0]]
        if self._library.eos_token_id is None:
            raise UserError(f"{self.place}: no token of the tokenizer ends a turn: name its eos_token in tokenizer_config.json")
        return self._library.eos_token_id

    def encode(self, text: str, after: Sequence[int] = ()) -> list[int]:
        """Returns the ids of a text that goes on behind the ids `after`; no special token and no space is put before it.

        Only the last of `after` matters, and only to tokenizers that take a text behind a control token for a beginning.
        """
        text = self._hidden(text)
        if self._continuing is None:
            return self._whole.encode(text)
        before = self._backend.get_added_tokens_decoder().get(int(after[-1])) if after else None
        if before is not None:
            return self._whole.encode(before.content + text)[1:]
        token = self._added.search(text)  # what stands behind one is a beginning again
        first = token.start() if token else len(text)
        return self._continuing.encode(text[:first]) + self._whole.encode(text[first:])

    def encode_prompt(self, text: str) -> list[int]:
        """Returns the ids of a raw prompt, as the model's own tokenizer gives them, control tokens read.

        It begins with BOS if the tokenizer adds one, and never with two: a prompt rendered from a chat template has its own.
        """
        ids, bare = (self._library(text, add_special_tokens=added).input_ids for added in (True, False))
        begins = bare[:1] == [self._library.bos_token_id]
        return ids[1:] if begins and ids[: len(bare) + 1] == [bare[0], *bare] else ids

    def encode_chat(self, messages: Messages) -> list[int]:
        """Returns the ids of a chat up to where the assistant's next message begins, as transformers' `apply_chat_template`.

        Raises:
          UserError: if there is no chat template, or the template refuses the messages (see `ChatTemplate.render`).
        """
        # Stand-ins tell the names in messages from those of the template, which may trim, repeat or drop messages.
        hidden = [{key: self._hidden(value) for key, value in message.items()} for message in messages]
        return self._whole.encode(self.chat.render(hidden))

    def decode(self, ids: Iterable[int], keep: Iterable[str] = ()) -> str:
        """Returns the text of the ids, control tokens left out but for those that are named in `keep`."""
        kept = {self._controls.ids[name]: name for name in keep if name in self._controls.ids}
        runs: list[list[int]] = [[]]
        between: list[str] = []
        for i in map(int, ids):
            if i in kept:
                between.append(kept[i])
                runs.append([])
            elif i not in self._control_ids:
                runs[-1].append(i)
        texts = [self._backend.decode(run, skip_special_tokens=True) for run in runs]
        return texts[0] + "".join(name + text for name, text in zip(between, texts[1:], strict=True))

    def decode_beginnings(self, ids: Sequence[int]) -> list[str]:
        """Returns what `decode` makes of no id, of the first, of the first two, ... and of all of them."""
        beginnings = ([i for i in ids[:count] if i not in self._control_ids] for count in range(len(ids) + 1))
        return self._backend.decode_batch(list(beginnings), skip_special_tokens=True)

    def token_name(self, token: int) -> str | None:
        """Returns how the vocabulary spells this id."""
        return self._backend.id_to_token(token)

    @functools.cached_property
    def _control_ids(self) -> frozenset[int]:
        """Those that the backend calls special, and those that only their names tell."""
        return frozenset(self._controls.ids.values())

    @functools.cached_property
    def _whole(self) -> Shield:
        """Encodes what begins a text."""
        return Shield(self._backend, self._controls, lambda text: self._library(text, add_special_tokens=False).input_ids)

    @functools.cached_property
    def _continuing(self) -> Shield | None:
        """Encodes what goes on in a text, where that differs."""
        backend = without_prefix_space(self._backend)
        if backend is None:
            return None
        return Shield(backend, self._controls, lambda text: backend.encode(text, add_special_tokens=False).ids)

    @functools.cached_property
    def _added(self) -> re.Pattern[str]:
        return as_read(self._backend.get_added_tokens_decoder().values())

    def _hidden(self, text: str) -> str:
        return self._controls.hide(text) if self.reading.control_tokens == "text" else text


def remove_tokenizer(directory: Path) -> None:
    """Removes all files from which a tokenizer is opened."""
    for name in FILES + BESIDE:
        (directory / name).unlink(missing_ok=True)


def transformers_library() -> ModuleType:
    """Imports transformers, without its advice to install torch, which nothing here needs."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    return importlib.import_module("transformers")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
