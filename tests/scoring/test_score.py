"""Scoring from Python: mappings, a path and the script give the same numbers, which are a plain softmax's."""

import contextlib
import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import plain_logprobs, tiny_chat_model

from configs import score as score_config
from experiments import score as script
from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent
from remid_jax.scoring import score as scoring
from remid_jax.scoring.score import Scored, score
from remid_jax.scoring.store import Store

PIECES = tiny_chat_model().config.vocab_size
LINES = [
    {"id": "chat", "messages": [{"role": "user", "content": "Who are you?"}], "answers": ["A fox.", "狐。"]},
    {"id": 7, "prompt": "Once upon a time", "answers": [" there was"]},
    {"id": "ids", "prefix_ids": [5, 6, 7], "answer_ids": [[8], [9, 10, PIECES - 1]]},
]


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    return score(tiny_chat_model(), LINES, progress=Silent())


def numbers(found: list[Scored]):
    return [(one.id, one.loglik, one.n_tokens, [row.tolist() for row in one.logprobs]) for one in found]


def test_scores_are_those_of_a_plain_softmax_and_sum_in_float64(scored):
    model = tiny_chat_model()
    prefixes = [
        model.tokenizer.encode_chat(LINES[0]["messages"]), model.tokenizer.encode_prompt(LINES[1]["prompt"]), [5, 6, 7],
    ]  # fmt: skip
    assert [one.id for one in scored] == ["chat", 7, "ids"]
    for one, line, prefix in zip(scored, LINES, prefixes, strict=True):
        answers = line.get("answer_ids") or [model.tokenizer.encode(text) for text in line["answers"]]
        assert one.n_tokens == tuple(map(len, answers))
        for ids, row, total in zip(answers, one.logprobs, one.loglik, strict=True):
            np.testing.assert_allclose(row, plain_logprobs(model, prefix, ids), atol=1e-4, rtol=0)
            assert total == sum(map(float, row))


def test_mappings_a_path_and_the_script_give_equal_numbers(tmp_path, monkeypatch, tiny_directory):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    from_objects = score(open_model(str(tiny_directory)), LINES, progress=Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]  # nothing is written unless asked
    from_paths = score(tiny_directory, tmp_path / "in.jsonl", store="store.sqlite", progress=Silent())
    assert numbers(from_paths) == numbers(from_objects)
    config: ConfigDict = score_config.get_config()
    config.update(model=str(tiny_directory), input="in.jsonl", output="out.jsonl")
    script.main(config, tmp_path)
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert written == [one.line() for one in from_objects]
    assert [[np.float32(value) for value in row] for row in written[0]["logprobs"]] == numbers(from_objects)[0][3]


def test_what_a_store_holds_is_not_computed_again(tmp_path, scored):
    said = Said()
    for _ in range(2):
        again = score(tiny_chat_model(), LINES, store=tmp_path / "store.sqlite", progress=said)
    assert [line.partition(", padding")[0] for line in said.lines] == [
        "3 requests, 5 pairs, 0 of them from the store; 1 rows in 1 device steps",
        "3 requests, 5 pairs, 5 of them from the store; 0 rows in 0 device steps",
    ]
    assert numbers(again) == numbers(scored)


def test_progress_counts_the_lines_that_are_computed_now(tmp_path, monkeypatch):
    store = Store(tmp_path / "store.sqlite")
    score(tiny_chat_model(), LINES[:1], store=store, progress=Silent())
    said = Said()
    score(tiny_chat_model(), LINES, store=store, progress=said)  # lines were appended
    assert said.heard == [(0, 2), (1, 2), (2, 2), (2, 2)]
    score(tiny_chat_model(), [LINES[1], {**LINES[0], "answers": ["A fox.", "An owl."]}], store=store, progress=said)
    assert said.heard[4:] == [(0, 1), (1, 1), (1, 1)]  # an answer of the second is new
    monkeypatch.setattr(scoring, "FIRST_PAIRS", 1)  # windows of one line
    score(tiny_chat_model(), LINES[::-1], store=store, progress=said)
    assert said.heard[7:] == [(0, 2), (0, 1), (0, 0), (0, 0)]


class Said(Silent):
    def __init__(self):
        self.lines, self.heard = [], []

    @contextlib.contextmanager
    def stage(self, name, unit="tokens"):
        yield lambda done, total: self.heard.append((done, total))

    def say(self, line):
        self.lines.append(line)


@pytest.mark.parametrize(
    ("requests", "settings", "message"),
    [
        ([{"id": 1, "prompt": "a", "answers": ["b"]}] * 2, {}, "requests: number 2: id 1 stands on number 1 already"),
        (
            [{"id": 1, "prompt": "a"}, "b"],
            {},
            "requests: number 1: needs exactly one of answers, answer_ids for its answers; requests: number 2: not a mapping",
        ),
        (
            [{"id": "x", "prefix_ids": [1], "answer_ids": [[PIECES]]}],
            {},
            f"requests: number 1 ('x'): token id {PIECES} is not below the vocabulary size {PIECES}",
        ),
        (LINES, {"date": "yesterday"}, "date: 'yesterday' is no date: write it as 2026-01-31"),
        (LINES, {"max_row": 0}, "config.max_row=0: must be a whole number from 1 to 28672"),
        (LINES, {"control_tokens": "all"}, "config.control_tokens='all': choose text or tokens"),
    ],
)
def test_what_cannot_be_scored_is_refused(requests, settings, message):
    with pytest.raises(UserError) as error:
        score(tiny_chat_model(), requests, progress=Silent(), **settings)
    assert str(error.value) == message
