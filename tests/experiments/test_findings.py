"""What stands in the file of findings is done; the file has a place for what is not, and loses nothing."""

import json

import pytest
from ml_collections import ConfigDict

from remid_jax.errors import UserError

PARTS = {("arms", "a", "0"): {"steps": 1}, ("arms", "a", "1"): {"steps": 1}, ("arms", "b", "0"): {"steps": (("x", 2),)}}


@pytest.fixture
def findings(monkeypatch, tmp_path):
    from experiments.findings import Findings

    def findings(parts=PARTS, **changed):
        return Findings(tmp_path / "found.json", {part: ConfigDict(of | changed) for part, of in parts.items()})

    return findings


@pytest.fixture
def written(findings, tmp_path):
    """A file with one part of three found."""
    found = findings()
    assert not any(part in found for part in PARTS)
    found.add(("arms", "a", "1"), {"value": 0.5})
    tree = found.under("arms")
    (tmp_path / "found.json").write_text(json.dumps({"arms": tree, "config": {"of": "all"}}))
    return tree


def test_what_was_added_and_written_is_found_again(findings, written):
    assert (written["a"]["0"], written["b"]) == ("not run", {"0": "not run"})
    assert written["a"]["1"]["value"] == 0.5
    again = findings()
    assert [part for part in PARTS if part in again] == [("arms", "a", "1")]
    assert again.under("arms") == written
    assert again.under("arms", "a") == written["a"]


def test_a_commit_while_it_runs_does_not_change_whose_findings_they_are(findings, monkeypatch):
    from experiments import evaluate

    monkeypatch.setattr(evaluate, "git_revision", lambda: "a")
    found = findings()
    monkeypatch.setattr(evaluate, "git_revision", lambda: "b")
    found.add(("arms", "b", "0"), {})
    assert found.under("arms", "b")["0"]["git_revision"] == "a"


def test_what_would_be_lost_is_named(findings, written):
    said = r"found.json: holds what this config does not ask for or asks for otherwise: arms/a/1: name another config.output"
    with pytest.raises(UserError, match=said):
        findings(seed=1)
    with pytest.raises(UserError, match=said):
        findings({("arms", "b", "0"): {"steps": (("x", 2),)}})


def test_broken_json_is_refused(findings, tmp_path):
    (tmp_path / "found.json").write_text("{")
    with pytest.raises(UserError, match=r"json: line 1, column 2: broken JSON .*: mend it, or name another config.output"):
        findings()
