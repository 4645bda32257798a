"""Exact log-likelihoods of given answers after given prompts, as a tool.

    python -m experiments.score --config=configs/score.py --config.model=M --config.input=IN.jsonl --config.output=OUT.jsonl

In, a line each: {"id", "messages" | "prompt" | "prefix_ids", "answers": [text, ...] | "answer_ids": [[id, ...], ...]}.
Out, in the same order: {"id", "loglik": [nats, ...], "n_tokens": [...], "logprobs": [[nats, ...], ...]}.
`-` as the input is standard input, as the output standard output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from remid_jax.dialogues.faults import raise_all
from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.files import read_lines, write_text
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices, is_first_host
from remid_jax.roles.reading import reading_of, template_settings
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli

STREAMS = {"input": "/dev/stdin", "output": "/dev/stdout"}  # what "-" stands for
PREFIXES, ANSWERS = ("messages", "prompt", "prefix_ids"), ("answers", "answer_ids")


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("model", "input", "output"):
        if not config[name]:
            raise UserError(f"config.{name} is not set: give --config.{name}=...")
    source, output = ({"-": standard}.get(config[name], config[name]) for name, standard in STREAMS.items())
    check_output(output, "config.output")
    lines = read_requests(source)
    cli.use_compilation_cache()
    devices = Devices(config.parallel, config.mesh_model)
    settings = template_settings(config.template, "config.template")
    opened = open_model(config.model, config.dtype, devices.parameter_mesh)
    model = read_as(opened, template=settings, **reading_of(config, workdir))
    requests = requests_of(source, lines, model)
    engine = ScoringEngine(model, devices, Store(workdir / "store.sqlite"), config.tokens_per_step, config.max_row)
    stages = cli.progress()
    with stages.stage("score") as advance:
        scores = engine.score(requests, advance)
    if not is_first_host():
        return
    answers = (answer_line(line["id"], rows) for (_, line), rows in zip(lines, scores, strict=True))
    write_text(output, "".join(json.dumps(answer) + "\n" for answer in answers))
    counts = engine.counts
    padding = counts.padding / max(1, counts.tokens + counts.padding)
    stages.say(
        f"{len(lines)} requests in {counts.rows} rows, {counts.store_hits} of them from the store; "
        f"{counts.device_steps} device steps, padding {padding:.0%} -> {output}"
    )


def read_requests(path: str) -> list[tuple[int, dict[str, Any]]]:
    """The lines of the input, with their numbers.

    Raises:
      UserError: listing every fault of the file.
    """
    faults: list[str] = []
    lines = list(read_lines(path, faults))
    seen: dict[Any, int] = {}
    for n, line in lines:
        if not isinstance(line, dict):
            faults.append(f"{path}: line {n}: not a JSON object")
            continue
        faults += [f"{path}: line {n}: {fault}" for fault in _faults(line)]
        name = line.get("id")
        if _is_id(name) and seen.setdefault(name, n) != n:
            faults.append(f"{path}: line {n}: id {name!r} stands on line {seen[name]} already")
    raise_all(faults)
    return lines


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or type(value) is int


def _faults(line: dict[str, Any]) -> Iterator[str]:
    def is_ids(value: Any) -> bool:
        return isinstance(value, list) and all(type(i) is int and i >= 0 for i in value)

    if not _is_id(line.get("id")):
        yield 'no "id" (a string or a number)'
    for names, shape in ((PREFIXES, "prompt"), (ANSWERS, "answers")):
        if len([name for name in names if name in line]) != 1:
            yield f"needs exactly one of {', '.join(names)} for its {shape}"
    for name in set(line) - {"id", *PREFIXES, *ANSWERS}:
        yield f"unknown field {name!r}"
    if "messages" in line and not (
        isinstance(line["messages"], list)
        and line["messages"]
        and all(
            isinstance(m, dict) and set(m) == {"role", "content"} and all(isinstance(v, str) for v in m.values())
            for m in line["messages"]
        )
    ):
        yield '"messages" must be a list of {"role": text, "content": text}'
    if "prompt" in line and not (isinstance(line["prompt"], str) and line["prompt"]):
        yield '"prompt" must be a non-empty text'
    if "prefix_ids" in line and not (is_ids(line["prefix_ids"]) and line["prefix_ids"]):
        yield '"prefix_ids" must be a non-empty list of token ids'
    if "answers" in line and not (isinstance(line["answers"], list) and all(isinstance(a, str) and a for a in line["answers"])):
        yield '"answers" must be a list of non-empty texts'
    if "answer_ids" in line and not (isinstance(line["answer_ids"], list) and all(is_ids(a) and a for a in line["answer_ids"])):
        yield '"answer_ids" must be a list of non-empty lists of token ids'


def requests_of(path: str, lines: Sequence[tuple[int, dict[str, Any]]], model: LanguageModel) -> list[Request]:
    """What the lines ask for.

    Raises:
      UserError: listing every line that the model cannot take.
    """
    requests, faults = [], []
    for n, line in lines:
        try:
            requests.append(request_of(line, model, f"{path}: line {n} ({line['id']!r})"))
        except UserError as error:
            faults.append(str(error))
    raise_all(faults)
    return requests


def request_of(line: dict[str, Any], model: LanguageModel, place: str) -> Request:
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


def answer_line(name: str | int, rows: list[np.ndarray]) -> dict[str, Any]:
    """A line of the output; sums in float64, log-probabilities with the nine digits that determine a float32."""
    return {
        "id": name,
        "loglik": [float(row.astype(np.float64).sum()) for row in rows],
        "n_tokens": [len(row) for row in rows],
        "logprobs": [[float(f"{value:.9g}") for value in row] for row in rows],
    }


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
