"""The script of the gates from end to end on the embedded benchmark with two faults, and what it refuses."""

import dataclasses
import json

import pytest

from remid_jax.dialogues.manifest import Category, Manifest
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl

ENGLISH = {name: Category(name, shift, "IDTest", "en") for name, shift in (("Gaming", "character"), ("Theater", "character"))}


@pytest.fixture
def source(tmp_path):
    """Two categories, of which one record's golden reply refuses and one's is another's."""
    test = read_benchmark("package:rpgbench_compact/eight").test
    base, gaming, theater = test["IDTest"], list(test["Gaming"]), list(test["Theater"])
    gaming[1] = dataclasses.replace(gaming[1], golden="I'm sorry, but I can't help with that request of yours, my friend.")
    theater[2] = dataclasses.replace(theater[2], golden=base[3].golden)
    path = tmp_path / "records.jsonl"
    write_jsonl(path, [*base, *gaming, *theater])
    manifest = Manifest({"IDTest": Category("IDTest", language="en"), "german": Category("german", language="de")} | ENGLISH)
    path.with_name("records.manifest.json").write_text(json.dumps(manifest.to_json()))
    return path


def test_what_is_kept_can_be_read_and_what_is_rejected_says_why(call, source, capsys):
    work = call("screen", {"source": str(source)})
    whole, kept = read_benchmark(source), read_benchmark(work / "kept.jsonl")
    assert kept.manifest == whole.manifest
    assert {name: len(records) for name, records in kept.test.items()} == {"IDTest": 8, "Gaming": 7, "Theater": 7}
    rejects = [json.loads(line) for line in (work / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["gate"], reject["record"]["sample_ID"]) for reject in rejects] == [
        ("refusals", "gaming-2"),
        ("duplicates", "theater-3"),
    ]
    assert rejects[1]["why"].startswith("golden reply nearly twice: 100% alike that of 'id-test-4', ")
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["refusals", "24", "1", "1", "x", "refusal"] in printed
    assert ["duplicates", "23", "1", "1", "x", "golden", "reply", "nearly", "twice"] in printed
    assert "| duplicates | 23 | 1 | 1 x golden reply nearly twice |" in (work / "card.md").read_text().splitlines()


def test_a_model_asks_how_likely_replies_are(call, source, tiny_directory, monkeypatch):
    rows = source.read_text(encoding="utf-8").splitlines(keepends=True)
    source.write_text("".join(rows[:4] + rows[8:11] + rows[16:19]), encoding="utf-8")
    changes = {"source": str(source), "model": str(tiny_directory), "tokens_per_step": 1024}
    monkeypatch.setattr("remid_jax.construction.gates.likelihood.OTHERS", 1)
    work = call("screen", changes)
    rejects = [json.loads(line) for line in (work / "rejects.jsonl").read_text().splitlines()]
    assert {reject["gate"] for reject in rejects[2:]} == {"likelihood"}
    before = (work / "rejects.jsonl").read_bytes()
    monkeypatch.setattr("remid_jax.scoring.engine.ScoringEngine.begin_scores", None)  # nothing is computed again
    call("screen", changes)
    assert (work / "rejects.jsonl").read_bytes() == before


def test_a_source_must_be_named_and_patterns_must_be_good(refused, source, tmp_path):
    assert refused("screen", {}) == (
        "config.source is not set: give a benchmark, --config.source=FILE, or package:rpgbench_compact"
    )
    (tmp_path / "mine.txt").write_text("[refusal]\n(\n")
    assert refused("screen", {"source": str(source), "refusals": "mine.txt"}) == (
        "mine.txt: line 2: is no regular expression (missing ), unterminated subpattern at position 0): mend it, or begin it "
        "with #"
    )
