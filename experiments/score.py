"""Exact log-likelihoods of given answers after given prompts, as a tool.

    python -m experiments.score --config=configs/score.py --config.model=M --config.input=IN.jsonl --config.output=OUT.jsonl

In, a line each: {"id", "messages" | "prompt" | "prefix_ids", "answers": [text, ...] | "answer_ids": [[id, ...], ...]}.
Out, in the same order, each line as its last answer is done: {"id", "loglik": [nats, ...], "n_tokens": [...],
"logprobs": [[nats, ...], ...]}.
`-` as the input is standard input, as the output standard output. From Python: `remid_jax.score`.
"""

from __future__ import annotations

import collections
import itertools
import json
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.disk import check_output, streaming
from remid_jax.errors import UserError
from remid_jax.parallel import is_first_host
from remid_jax.roles.opening import open_engine
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.score import scored_lines
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli

STREAMS = {"input": "/dev/stdin", "output": "/dev/stdout"}  # what "-" stands for


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    for name in ("model", "input", "output"):
        if not config[name]:
            raise UserError(f"config.{name} is not set: give --config.{name}=...")
    source, output = ({"-": standard}.get(config[name], config[name]) for name, standard in STREAMS.items())
    check_output(output, "config.output")
    cli.use_compilation_cache()
    progress = cli.progress()
    engine = open_engine(config, config, Store(workdir / "store.sqlite"), reading_of(config, workdir))
    scored = scored_lines(engine, source, progress)
    first = next(scored, None)  # so that nothing is written where nothing can be scored
    if not is_first_host():
        collections.deque(scored, maxlen=0)
        return
    with streaming(output) as write:
        for answers in itertools.chain([first] if first else [], scored):
            write(f"{json.dumps(answers.line())}\n".encode())
    progress.say(f"answers: {output}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
