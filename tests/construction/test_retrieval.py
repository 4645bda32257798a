"""Passages of local files are ranked by BM25, here written out once more."""

import math
import re

import numpy as np
import pytest
from refusal import refusal

from remid_jax.construction.retrieval import LONGEST, LocalFiles, passages_of

TEXTS = {
    "a.txt": "Ada Lovelace wrote notes on the engine.\n\nCharles Babbage built a part of the engine, engine after engine.",
    "deep/b.md": "Lovelace liked poetry, and Ada liked horses.\n\n\n   \nThe weather was fine.\n\n狐狸在雪中行走。",
    "c.csv": "Ada,Lovelace",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in TEXTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_order_is_that_of_bm25(folder):
    passages = [p for name in ("a.txt", "deep/b.md") for p in passages_of(TEXTS[name])]
    words = [re.findall(r"[\u3040-\u9fff]|[a-z]+", passage.lower()) for passage in passages]
    mean = np.mean([len(own) for own in words])

    def score(query, own):
        total = 0.0
        for word in query:
            holders = sum(word in other for other in words)
            frequency = own.count(word)
            weight = frequency + 1.5 * (0.25 + 0.75 * len(own) / mean)
            total += math.log((len(words) - holders + 0.5) / (holders + 0.5) + 1) * frequency * 2.5 / weight
        return total

    for query in (["ada", "lovelace"], ["engine"], ["the", "engine", "poetry"], ["狐"]):
        scores = [score(query, own) for own in words]
        best = [passages[n] for n in np.argsort([-value for value in scores], kind="stable") if scores[n] > 0]
        assert LocalFiles(folder).passages(" ".join(query), 9) == best
    assert LocalFiles(folder).passages("ada lovelace", 1) == ["Ada Lovelace wrote notes on the engine."]
    assert LocalFiles(folder).passages("nobody", 3) == []


def test_long_paragraphs_are_cut_between_words_and_nothing_is_lost():
    text = " ".join(f"word{n}" for n in range(1000))
    pieces = passages_of(text)
    assert " ".join(pieces) == text
    assert max(map(len, pieces)) <= LONGEST
    assert len(passages_of("狐" * (LONGEST + 1))) == 2


def test_a_folder_without_texts_is_refused(tmp_path):
    assert refusal(LocalFiles, tmp_path) == (
        f"{tmp_path}: holds no .txt or .md file: name a folder of texts to look characters up in"
    )
