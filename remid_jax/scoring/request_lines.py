"""What people ask to be scored: lines of a file or mappings, checked all at once, and the requests they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import raise_all
from remid_jax.errors import UserError
from remid_jax.files import read_lines
from remid_jax.models.loading import LanguageModel
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.scoring.requests import Continuation, Request

PREFIXES, ANSWERS = ("messages", "prompt", "prefix_ids"), ("answers", "answer_ids")
Line = tuple[str, Mapping[str, Any]]
"""Where it stands ("in.jsonl: line 3"), and what it asks: {"id", one of `PREFIXES`, one of `ANSWERS`}."""


def read_request_lines(source: str | Path | Sequence[Mapping[str, Any]]) -> list[Line]:
    """Reads a JSON Lines file, or takes mappings with the same keys.

    Raises:
      UserError: listing every fault.
    """
    faults: list[str] = []
    if isinstance(source, (str, Path)):
        numbered, file, unit, shape = list(read_lines(source, faults)), str(source), "line", "a JSON object"
    else:
        numbered, file, unit, shape = list(enumerate(source, 1)), "requests", "number", "a mapping"
    seen: dict[Any, int] = {}
    for n, line in numbered:
        place = f"{file}: {unit} {n}"
        if not isinstance(line, Mapping):
            faults.append(f"{place}: not {shape}")
            continue
        faults += [f"{place}: {fault}" for fault in _faults(line)]
        name = line.get("id")
        if _is_id(name) and seen.setdefault(name, n) != n:
            faults.append(f"{place}: id {name!r} stands on {unit} {seen[name]} already")
    raise_all(faults)
    return [(f"{file}: {unit} {n}", line) for n, line in numbered]


def requests_of(lines: Sequence[Line], model: LanguageModel) -> list[Request]:
    """Returns what the lines ask for, in their order.

    Raises:
      UserError: listing every line that the model cannot take.
    """
    requests, faults = [], []
    for place, line in lines:
        try:
            requests.append(_request_of(line, model, f"{place} ({line['id']!r})"))
        except UserError as error:
            faults.append(str(error))
    raise_all(faults)
    return requests


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
