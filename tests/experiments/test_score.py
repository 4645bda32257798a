"""The score tool: what goes in comes out in order, and the numbers are the model's own."""

import json

import numpy as np
import pytest
from scripts import ROOT
from small_vocabulary import small_tokenizer
from tiny import plain_logprobs

from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.scoring.request_lines import RequestLines

PIECES = small_tokenizer()[1]
LINES = [
    {
        "id": "chat",
        "messages": [{"role": "user", "content": "Who are you?"}],
        "answers": ["A fox.", "Eine Füchsin, 狐。", "A fox."],
    },
    {"id": 7, "prompt": "Once upon a time", "answers": [" there was", "there was"]},
    {"id": "ids", "prefix_ids": [5, 6, 7], "answer_ids": [[8], [9, 10, PIECES - 1]]},
    {"id": "mixed", "prompt": "1 2 3", "answer_ids": [[100, 200]]},
]


@pytest.fixture
def score(call, tmp_path, tiny_directory):
    def score(lines, workdir="work", **changes):
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        call("score", {"model": str(tiny_directory), "input": "in.jsonl", "output": "out.jsonl"} | changes, workdir)
        return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]

    return score


def test_answers_get_the_log_probabilities_of_exactly_their_ids(score, tiny_directory):
    model = open_model(str(tiny_directory), "float32")
    assert model.tokenizer is not None
    found = score(LINES)
    assert [line["id"] for line in found] == ["chat", 7, "ids", "mixed"]
    prefixes = [
        model.tokenizer.encode_chat(LINES[0]["messages"]),
        model.tokenizer.encode_prompt(LINES[1]["prompt"]),
        LINES[2]["prefix_ids"],
        model.tokenizer.encode_prompt(LINES[3]["prompt"]),
    ]
    for line, asked, prefix in zip(found, LINES, prefixes, strict=True):
        answers = asked.get("answer_ids") or [model.tokenizer.encode(text) for text in asked["answers"]]
        assert line["n_tokens"] == [len(answer) for answer in answers]
        for answer, logprobs, loglik in zip(answers, line["logprobs"], line["loglik"], strict=True):
            np.testing.assert_allclose(logprobs, plain_logprobs(model, prefix, answer), atol=1e-4)
            assert loglik == pytest.approx(sum(logprobs), abs=1e-5)
    assert found[0]["loglik"][0] == found[0]["loglik"][2]
    assert found[1]["n_tokens"] == [2, 3]  # "there" begins no line of the texts whose pieces the tiny model has
    assert found[1]["loglik"][0] != found[1]["loglik"][1]  # no space is added or stripped


def test_company_and_layout_move_nothing(score):
    alone = [score([line], f"alone{n}")[0] for n, line in enumerate(LINES)]
    for n, changes in enumerate(({"tokens_per_step": 64, "max_row": 64}, {"parallel": "pmap"})):
        together = score(LINES[::-1], f"other{n}", **changes)[::-1]
        for a, b in zip(alone, together, strict=True):
            for x, y in zip(a["logprobs"], b["logprobs"], strict=True):
                np.testing.assert_allclose(x, y, atol=1e-4)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"prompt": "a", "answers": ["b"]}, 'no "id"'),
        ({"id": 1, "answers": ["b"]}, "needs exactly one of messages, prompt, prefix_ids"),
        ({"id": 1, "prompt": "a", "messages": [], "answers": ["b"]}, "needs exactly one of messages, prompt, prefix_ids"),
        ({"id": 1, "prompt": "a"}, "needs exactly one of answers, answer_ids"),
        ({"id": 1, "prompt": "a", "answers": [""]}, '"answers" must be'),
        ({"id": 1, "prompt": "a", "answers": "b"}, '"answers" must be'),
        ({"id": 1, "prompt": "", "answers": ["b"]}, '"prompt" must be'),
        ({"id": 1, "prefix_ids": [1, -2], "answer_ids": [[1]]}, '"prefix_ids" must be'),
        ({"id": 1, "prefix_ids": [1], "answer_ids": [[True]]}, '"answer_ids" must be'),
        ({"id": 1, "messages": [{"role": "user"}], "answers": ["b"]}, '"messages" must be'),
        ({"id": 1, "prompt": "a", "answers": ["b"], "label": 3}, "unknown field 'label'"),
        ({"id": "good", "prompt": "a", "answers": ["b"]}, "stands on line 1 already"),
        ({"id": 1, "prefix_ids": [1], "answer_ids": [[PIECES]]}, f"token id {PIECES} is not below the vocabulary size"),
        ({"id": 1, "prefix_ids": [1] * 9000, "answer_ids": [[1]]}, "9001 tokens, but"),
    ],
)
def test_a_bad_line_is_named(tiny_directory, tmp_path, line, words):
    path = jsonl(tmp_path / "in.jsonl", {"id": "good", "prompt": "a", "answers": ["b"]}, line)
    model = open_model(str(tiny_directory), "float32")
    with pytest.raises(UserError) as caught:
        list(RequestLines(path).check(model))
    assert str(caught.value).startswith(f"{path}: line 2")
    assert words in str(caught.value)


def jsonl(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_all_lines_that_do_not_fit_are_listed_at_once(tiny_directory, tmp_path):
    model = open_model(str(tiny_directory), "float32")
    lines = [{"id": n, "prefix_ids": [1] * (9000 if n % 2 else 9), "answer_ids": [[1]]} for n in range(60)]
    path = jsonl(tmp_path / "in.jsonl", *lines)
    with pytest.raises(UserError) as caught:
        list(RequestLines(path).check(model))
    said = str(caught.value).split("; ")
    assert said[0] == f"{path}: line 2 (1): 9001 tokens, but {model.source} takes at most 8192: shorten it"
    assert [of.split(": ")[1] for of in said[:-1]] == [f"line {n + 1} ({n})" for n in range(1, 40, 2)]
    assert said[-1] == "and 10 more"


def test_bad_input_is_refused_and_nothing_is_written(refused, tmp_path, tiny_directory):
    (tmp_path / "out.jsonl").write_text("mine")
    lines = [{"id": "good", "prompt": "a", "answers": ["b"]}, {"id": 1, "prompt": "a", "answers": [""]}]
    jsonl(tmp_path / "in.jsonl", *lines)
    error = refused("score", {"model": str(tiny_directory), "input": "in.jsonl", "output": "out.jsonl"})
    assert 'in.jsonl: line 2: "answers" must be' in error
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_all_faults_are_listed_at_once(tmp_path, tiny_directory):
    lines = [{"prompt": "a", "answers": []}, {"id": 1}, {"id": 1, "prompt": "x", "answers": [3]}, [1], {"id": True}]
    path = jsonl(tmp_path / "in.jsonl", *lines)
    with pytest.raises(UserError) as caught:
        list(RequestLines(path).check(open_model(str(tiny_directory), "float32")))
    assert all(f"line {n}: " in str(caught.value) for n in range(1, 6))


def test_standard_streams_and_devices(run, tmp_path, tiny_directory):
    """In and out of pipes; what else is said goes to stderr."""
    flags = (f"--config={ROOT}/configs/score.py", f"--config.model={tiny_directory}", "--workdir=work")
    process = run.start("score", *flags, "--config.input=-", "--config.output=-", stdin=True)
    out, err = process.communicate("".join(json.dumps(line) + "\n" for line in LINES), timeout=300)
    assert process.returncode == 0, err
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["chat", 7, "ids", "mixed"]
    jsonl(tmp_path / "in.jsonl", *LINES)
    full = run("score", *flags, "--config.input=in.jsonl", "--config.output=/dev/full")
    assert (
        full.error == "error: /dev/full: the disk is full (No space left on device): make room and run the same command again"
    )


@pytest.mark.parametrize(
    ("output", "said"),
    [("no/out.jsonl", "there is no folder"), (".", "is a folder"), ("/proc/out", "cannot be written")],
)
def test_an_output_that_cannot_be_is_found_before_anything_else(refused, tmp_path, output, said):
    jsonl(tmp_path / "in.jsonl", *LINES)
    error = refused("score", {"model": "no model at all", "input": "in.jsonl", "output": output})
    assert error.startswith(f"config.output={output}: {said}")
