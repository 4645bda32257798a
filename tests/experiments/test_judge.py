"""The script of a judge from end to end on a tiny model: of a file, whose ratings the script of agreement reads."""

import json

from scripts import load

from remid_jax.dialogues.rated import read_rated

ROWS = [
    {"context_id": name, "messages": [{"role": "user", "content": text}], "system": system, "reply": f"{reply} {name}."}
    for name, text in (("a", "Who are you?"), ("b", "Tea?"))
    for system, reply in (("m1", "I am"), ("m2", "It is"))
]  # fmt: skip
CRITERIA = ("role consistency", "user fit", "continuity")


def test_the_script_writes_scores_that_agreement_reads(call, tiny_directory, tmp_path, monkeypatch, capsys):
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    changes = {"input": str(path), "model": str(tiny_directory), "page": "judge.md", "tokens_per_step": 1024}
    work = call("judge", changes)
    found = load(work / "judge.json")
    assert found["counts"] == {"replies": 4, "contexts": 2, "pairs": 2, "answers": 36, "missing": {}, "unread": 0}
    assert tuple(found["wins"]) == CRITERIA
    assert found["metrics"] == {}
    for name in CRITERIA:
        assert 1 <= found["ratings"]["m1"]["all"][name]["value"] <= 10
        assert found["wins"][name]["m1"]["value"] + found["wins"][name]["m2"]["value"] == 1
    assert capsys.readouterr().out.count("position bias") == 3
    page = (work.parent / "judge.md").read_text()
    assert "| m1 | " in page
    assert "rates 4 replies to 2 contexts from 1 to 10, in two wordings, and compares 2 pairs" in page.replace("\n", " ")
    scored = read_rated(work / "judged.jsonl")
    means = [of.scores["judge: continuity"] for of in scored if of.system == "m1"]
    assert found["ratings"]["m1"]["all"]["continuity"]["value"] == sum(means) / 2
    monkeypatch.setattr("remid_jax.scoring.engine.ScoringEngine.begin_scores", None)  # nothing is computed again
    before = (work / "judge.json").read_bytes()
    call("judge", changes)
    assert (work / "judge.json").read_bytes() == before


def test_either_runs_or_a_file_must_be_named(refused):
    said = "give either evaluations, --config.runs=\"('runs/a',)\", or replies, --config.input=FILE.jsonl"
    assert refused("judge", {}) == said
    assert refused("judge", {"input": "r.jsonl", "runs": ("runs/a",)}) == said
