"""Exact log-likelihoods of given answers after given prompts, as a tool.

    python -m experiments.score --config=configs/score.py --config.model=M --config.input=IN.jsonl --config.output=OUT.jsonl

In, a line each: {"id", "messages" | "prompt" | "prefix_ids", "answers": [text, ...] | "answer_ids": [[id, ...], ...]}.
Out, in the same order: {"id", "loglik": [nats, ...], "n_tokens": [...], "logprobs": [[nats, ...], ...]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from experiments import cli
from experiments.progress import Stages
from experiments.reading import reading_of, template_settings
from remid_jax.errors import UserError
from remid_jax.files import read_jsonl, write_text
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices, is_first_host
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

PREFIXES, ANSWERS = ("messages", "prompt", "prefix_ids"), ("answers", "answer_ids")


def main(config: ConfigDict, workdir: Path) -> None:
    for name in ("model", "input", "output"):
        if not config[name]:
            raise UserError(f"config.{name} is not set: give --config.{name}=...")
    lines = read_jsonl(config.input)
    check_lines(config.input, lines)
    cli.use_compilation_cache()
    devices = Devices(config.parallel, config.mesh_model)
    settings = template_settings(config.template, "config.template")
    model = read_as(
        open_model(config.model, config.dtype, devices.parameter_mesh), template=settings, **reading_of(config, workdir)
    )
    requests = [request_of(line, model, f"{config.input}: line {n}") for n, line in lines]
    engine = ScoringEngine(model, devices, Store(workdir / "store.sqlite"), config.tokens_per_step, config.max_row)
    stages = Stages(Console(stderr=True, quiet=not is_first_host()))
    with stages.stage("score") as advance:
        scores = engine.score(requests, advance)
    if not is_first_host():
        return
    answers = (answer_line(line["id"], rows) for (_, line), rows in zip(lines, scores, strict=True))
    write_text(config.output, "".join(json.dumps(answer) + "\n" for answer in answers))
    counts = engine.counts
    padding = counts.padding / max(1, counts.tokens + counts.padding)
    stages.console.print(
        f"{len(lines)} requests in {counts.rows} rows, {counts.store_hits} of them from the store; "
        f"{counts.device_steps} device steps, padding {padding:.0%} -> {config.output}",
        highlight=False,
    )


def check_lines(path: str, lines: list[tuple[int, dict[str, Any]]]) -> None:
    """Raises one UserError that lists every fault of the file."""
    faults = [f"line {n}: {fault}" for n, line in lines for fault in _faults(line)]
    seen: dict[Any, int] = {}
    for n, line in lines:
        if isinstance(line.get("id"), (str, int)) and seen.setdefault(line["id"], n) != n:
            faults.append(f"line {n}: id {line['id']!r} stands on line {seen[line['id']]} already")
    if faults:
        more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise UserError(f"{path}: {'; '.join(faults[:20])}{more}")


def _faults(line: dict[str, Any]) -> Iterator[str]:
    def is_ids(value: Any) -> bool:
        return isinstance(value, list) and all(type(i) is int and i >= 0 for i in value)

    if not isinstance(line.get("id"), (str, int)):
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


def request_of(line: dict[str, Any], model: LanguageModel, place: str) -> Request:
    """The line as the engine wants it: exactly the ids of the answers, nothing added (protocol rule 1)."""

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


if __name__ == "__main__":
    cli.run(main)
