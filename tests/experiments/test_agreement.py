"""The script of agreement from end to end, twice: on a tiny model, with its page; and what it refuses."""

import json

import pytest
from scripts import load

ROWS = [
    {"context_id": name, "messages": [{"role": "user", "content": text}], "system": system, "reply": f"{reply} {name}.",
     "scores": {"fit": score}}
    for name, text in (("a", "Who are you?"), ("b", "Tea?"), ("c", "Where is the lamp?"))
    for system, reply, score in (("m1", "I am", 3), ("m2", "It is", 1.5))
]  # fmt: skip


@pytest.fixture
def replies(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_script_writes_its_page_and_goes_on_from_its_store(call, tiny_directory, replies, monkeypatch, capsys):
    changes = {"input": str(replies), "model": str(tiny_directory), "page": "page.md", "tokens_per_step": 1024}
    work = call("agreement", changes)
    found = load(work / "agreement.json")
    assert found["counts"]["scored"] == {"fit": 6}
    assert found["systems"]["m2"]["scores"]["fit"]["value"] == 1.5
    assert capsys.readouterr().out.startswith("fit: Spearman of club token_rate ")
    assert "![Agreement by quantity](page.png)" in (work.parent / "page.md").read_text()
    assert (work.parent / "page.png").is_file()
    monkeypatch.setattr("remid_jax.scoring.engine.ScoringEngine.begin_scores", None)  # nothing is computed again
    before = (work / "agreement.json").read_bytes()
    call("agreement", changes)
    assert (work / "agreement.json").read_bytes() == before


def test_replies_must_be_named_and_good(refused, replies, tiny_directory):
    assert refused("agreement", {}) == "config.input is not set: give replies with their scores, --config.input=FILE.jsonl"
    assert refused("agreement", {"input": str(replies), "others": 0}).startswith(
        "config.others=0: must be a whole number from 1"
    )
    replies.write_text(json.dumps(ROWS[0]) + "\n")
    assert refused("agreement", {"input": str(replies), "model": str(tiny_directory)}) == (
        f"{replies}: all replies are to the context 'a': replies to at least two contexts are needed, since they are compared"
    )
