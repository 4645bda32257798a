"""What people ask to be scored: lines of a file or mappings, checked all at once, and the requests they stand for."""

from __future__ import annotations

import array
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from remid_jax.dialogues.faults import raise_all
from remid_jax.disk import is_stream
from remid_jax.errors import UserError
from remid_jax.files import read_lines, reading
from remid_jax.models.loading import LanguageModel
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.scoring.requests import Continuation, Request

PREFIXES, ANSWERS = ("messages", "prompt", "prefix_ids"), ("answers", "answer_ids")


class RequestLines:
    """Lines of a JSON Lines file, or mappings with the same keys, read as often as needed and never held all at once.

    A line asks {"id", one of `PREFIXES`, one of `ANSWERS`}. A device or a pipe can be read but once, so it is copied to a file
    for as long as this lives.

    Attributes:
      count: how many lines there are, once a check has come to the end.
    """

    def __init__(self, source: str | Path | Sequence[Mapping[str, Any]]):
        self._source, self.count = source, 0
        self._in_a_file = isinstance(source, (str, Path))
        self._name = str(source) if self._in_a_file else "requests"
        self._unit, self._shape = ("line", "a JSON object") if self._in_a_file else ("number", "a mapping")
        if isinstance(source, (str, Path)) and is_stream(source):
            self._copy = tempfile.NamedTemporaryFile(prefix="remid_jax.")  # noqa: SIM115  # removed when it is collected
            with reading(source) as stream:
                shutil.copyfileobj(stream, self._copy)
            self._copy.flush()
            self._source = self._copy.name

    def check(self, model: LanguageModel) -> Iterator[int]:
        """Checks line by line, and yields after each how many faults there are so far.

        Raises:
          UserError: at the end, listing every faulty line, or if there is none, every line that the model cannot take.
        """
        faults: list[str] = []
        unfit: list[str] = []
        names, numbers = array.array("q"), array.array("Q")  # of ids there may be millions
        for number, line in self._lines(faults):
            wrong = self._faults(number, line)
            faults += wrong
            if isinstance(line, Mapping) and _is_id(line.get("id")):
                names.append(hash(line["id"]))
                numbers.append(number)
            if not wrong:
                try:
                    self._request(number, line, model)
                except UserError as error:
                    unfit.append(str(error))
            yield len(faults) + len(unfit)
        faults += self._repeated(np.array(names), np.array(numbers))
        raise_all(faults or unfit)
        self.count = len(numbers)

    def requests(self, model: LanguageModel) -> Iterator[tuple[str | int, Request]]:
        """Yields (id, what is asked) of each line, in order.

        Raises:
          UserError: at a faulty line, or one that the model cannot take.
        """
        faults: list[str] = []
        for number, line in self._lines(faults):
            raise_all([*faults, *self._faults(number, line)])
            yield line["id"], self._request(number, line, model)
        raise_all(faults)

    def _lines(self, faults: list[str]) -> Iterator[tuple[int, Any]]:
        if isinstance(self._source, (str, Path)):
            return read_lines(self._source, faults, self._name)
        return enumerate(self._source, 1)

    def _faults(self, number: int, line: Any) -> list[str]:
        place = f"{self._name}: {self._unit} {number}"
        if not isinstance(line, Mapping):
            return [f"{place}: not {self._shape}"]
        return [f"{place}: {fault}" for fault in _faults(line)]

    def _request(self, number: int, line: Mapping[str, Any], model: LanguageModel) -> Request:
        return _request_of(line, model, f"{self._name}: {self._unit} {number} ({line['id']!r})")

    def _repeated(self, names: np.ndarray, numbers: np.ndarray) -> list[str]:
        """A fault for each line whose id stands on an earlier one."""
        if len(np.unique(names)) == len(names):
            return []
        suspects = set(numbers[_is_repeated(names)].tolist())
        seen: dict[Any, int] = {}
        faults = []
        for number, line in self._lines([]):
            if number in suspects and seen.setdefault(line["id"], number) != number:
                place = f"{self._name}: {self._unit} {number}"
                faults.append(f"{place}: id {line['id']!r} stands on {self._unit} {seen[line['id']]} already")
        return faults


def _is_repeated(names: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or type(value) is int


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_ids(value: Any) -> bool:
    return _is_list(value) and all(type(i) is int and i >= 0 for i in value)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"role", "content"}
        and all(isinstance(text, str) for text in value.values())
    )


def _faults(line: Mapping[str, Any]) -> Iterator[str]:
    if not _is_id(line.get("id")):
        yield 'no "id" (a string or a number)'
    for names, shape in ((PREFIXES, "prompt"), (ANSWERS, "answers")):
        if len([name for name in names if name in line]) != 1:
            yield f"needs exactly one of {', '.join(names)} for its {shape}"
    for name in set(line) - {"id", *PREFIXES, *ANSWERS}:
        yield f"unknown field {name!r}"
    if "messages" in line and not (_is_list(line["messages"]) and line["messages"] and all(map(_is_message, line["messages"]))):
        yield '"messages" must be a list of {"role": text, "content": text}'
    if "prompt" in line and not (isinstance(line["prompt"], str) and line["prompt"]):
        yield '"prompt" must be a non-empty text'
    if "prefix_ids" in line and not (_is_ids(line["prefix_ids"]) and line["prefix_ids"]):
        yield '"prefix_ids" must be a non-empty list of token ids'
    if "answers" in line and not (_is_list(line["answers"]) and all(isinstance(a, str) and a for a in line["answers"])):
        yield '"answers" must be a list of non-empty texts'
    if "answer_ids" in line and not (_is_list(line["answer_ids"]) and all(_is_ids(a) and a for a in line["answer_ids"])):
        yield '"answer_ids" must be a list of non-empty lists of token ids'


def _request_of(line: Mapping[str, Any], model: LanguageModel, place: str) -> Request:
    """The line as the engine wants it: exactly the ids of the answers, nothing added (docs/protocol.md, rule 1)."""

    def tokenizer(what: str) -> Tokenizer:
        if model.tokenizer is None:
            raise UserError(f"{place}: {what} is text, but {model.source} has no tokenizer: give prefix_ids and answer_ids")
        return model.tokenizer

    if "messages" in line:
        if not tokenizer("messages").has_chat_template:
            lack = tokenizer("messages").chat.lack
            raise UserError(f"{place}: messages, but {model.source} {lack}: give prompt or prefix_ids")
        prefix = tokenizer("messages").encode_chat(line["messages"])
    elif "prompt" in line:
        prefix = tokenizer("prompt").encode_prompt(line["prompt"])
    else:
        prefix = line["prefix_ids"]
    if "answer_ids" in line:
        answers = line["answer_ids"]
    else:
        answers = [tokenizer("answers").encode(answer, after=prefix) for answer in line["answers"]]
    if not prefix or not all(answers):
        what = "the prompt" if not prefix else f"answer {[len(answer) for answer in answers].index(0)}"
        raise UserError(f"{place}: {what} has no token under the tokenizer of {model.source}: give another text, or its ids")
    largest = max([*prefix, *(i for answer in answers for i in answer)], default=0)
    if largest >= model.config.vocab_size:
        raise UserError(f"{place}: token id {largest} is not below the vocabulary size {model.config.vocab_size}")
    longest = len(prefix) + max(map(len, answers), default=0)
    if longest > model.config.max_positions:
        raise UserError(f"{place}: {longest} tokens, but {model.source} takes at most {model.config.max_positions}: shorten it")
    return Request(prefix, [Continuation(answer) for answer in answers])
