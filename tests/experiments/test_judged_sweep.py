"""The sweep of a judge: policies are judged apart, on any launcher, each answer is paid for once, and their table is one."""

import dataclasses
import json

import numpy as np
import pytest
from faulty_server import FaultyServer
from judged_runs import NAMES, results_of, saved_run
from scipy import stats
from scripts import load

from configs.sweeps import judged, quickstart
from remid_jax.sweeps.plan import planned
from remid_jax.sweeps.tasks import TASKS, VERSIONS

SAID = {"base": "Patience.", "shipped": "As an AI I cannot."}
RATINGS = {"base": 7, "shipped": 2, "golden": 9}
R_EMI = {"base": 0.5, "shipped": 9.0}
CRITERIA = ("role consistency", "user fit", "continuity")
SWEEP = {"script": "sweep", "config": "sweeps.judged"}


def evaluate(config, folder, surroundings):
    """Stands in for the task: a run that says one thing to all."""
    saved_run(folder, SAID[folder.name], R_EMI[folder.name])
    headline = {"estimator": "club", "unit": "token_rate", "scorer": "reasoned"}
    return {"headline": headline, "r_emi": {"IDTest": R_EMI[folder.name]}}


@pytest.fixture(autouse=True)
def _small_models(monkeypatch, tiny_directory, ending_directory):
    """Their fingerprints are quickly made."""
    monkeypatch.setattr(quickstart, "MODELS", {"base": str(tiny_directory), "shipped": str(ending_directory)})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setitem(TASKS, "evaluate", dataclasses.replace(TASKS["evaluate"], run=evaluate))
    opened = FaultyServer(content_of=rating)
    yield opened
    opened.close()


def rating(content):
    """What the judge answers: by whose reply stands in what it is asked."""
    system = next((name for name, said in SAID.items() if said in content), "golden")
    return str(RATINGS[system])


@pytest.fixture
def changes(server, tmp_path, tiny_directory):
    def changes(name="index"):
        path = tmp_path / "endpoints.json"
        path.write_text(json.dumps({"it": {"base_url": server.base_url, "model": "m", "concurrency": 8}}))
        return {
            "rungs": (), "models": tuple(SAID), "controls": ("golden",), "judge.model": "endpoint:it", "judge.max_new": 8,
            "judge.endpoints": str(path), "evaluate.estimator.model": str(tiny_directory),
            "output": str(tmp_path / f"{name}.json"), "page": str(tmp_path / f"{name}.md"),
        }  # fmt: skip

    return changes


def test_each_policy_is_a_point_and_the_last_needs_all():
    config = judged.get_config()
    config.models, config.rungs, config.judge.model = ("base",), ("misplaced 50%",), "endpoint:it"
    points = {point.name: point for point in config.sweep(config).points}
    assert points["judge/base"].needs == ("evaluate/base",)
    assert points["judge/base"].config["runs"] == {"base": "point:evaluate/base/"}
    assert points["judge/base"].config["controls"] == ()
    assert points["judge/misplaced_50"].config["controls"] == ("golden", "constant", "parrot")
    assert set(points["agreement"].needs) == {"evaluate/base", "evaluate/misplaced_50", "judge/base", "judge/misplaced_50"}
    assert f"\n    {judged.COMMAND}\n" in judged.__doc__


def test_a_point_goes_by_judge_prompts_and_replies(changes, tmp_path):
    settings = changes()

    def key(**of_judge):
        config = judged.get_config()
        config.rungs, config.models, config.evaluate.estimator.model = (), ("base",), settings["evaluate.estimator.model"]
        config.judge.update({"model": "endpoint:it", "endpoints": settings["judge.endpoints"]} | of_judge)
        return planned(config.sweep(config).points, TASKS, VERSIONS).identities["judge/base"].key

    known = key()
    assert key(endpoints=settings["judge.endpoints"]) == known
    assert key(level=0.9) != known
    path = tmp_path / "endpoints.json"
    path.write_text(path.read_text().replace('"m"', '"other"'))
    assert key() != known


def test_policies_are_judged_apart_and_held_against_r_emi_together(call, changes, server, tmp_path, capsys):
    for number in (1, 2):
        call(changes=changes() | {"shard": f"{number}/2", "only": ("judge/*",)}, workdir="shared", **SWEEP)
        assert len(server.paid) == ((2, 3)[number - 1]) * 9 * 3 * 2  # replies, criteria, wordings; golden ones with the first
    assert "endpoint:it: " in capsys.readouterr().err
    call(changes=changes() | {"merge": True}, workdir="shared", **SWEEP)
    assert "| R-EMI | not run |" in (tmp_path / "index.md").read_text()
    call(changes=changes(), workdir="shared", **SWEEP)
    assert set(server.paid.values()) == {1}
    page = (tmp_path / "index.md").read_text()
    call(changes=changes("alone"), workdir="alone", **SWEEP)
    assert (tmp_path / "alone.md").read_text() == page
    assert set(server.paid.values()) == {2}

    points = load(tmp_path / "index.json")["points"]
    systems = points["judge/base"]["summary"]["systems"] | points["judge/shipped"]["summary"]["systems"]
    assert {name: of["user fit"]["value"] for name, of in systems.items()} == RATINGS
    for name in SAID:
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert row.count(f"{RATINGS[name]:.2f}") == len(CRITERIA)
        assert f"| {np.mean([r_emi(name, category) for category in NAMES]):+.4f} (" in row
    cells = [(name, category) for name in RATINGS for category in NAMES]
    numbers = [r_emi(*cell) for cell in cells]
    expected = stats.spearmanr(numbers, [RATINGS[name] for name, _ in cells]).statistic
    for criterion in CRITERIA:
        found = points["agreement"]["summary"]["metrics"][criterion]["R-EMI"]["spearman"]
        assert found["value"] == pytest.approx(expected, abs=1e-9)
    row = next(line for line in page.splitlines() if line.startswith("| R-EMI |"))
    assert f"{expected:+.2f}" in row


def r_emi(system, category):
    if system == "golden":
        return 0.0
    if category == "IDTest":
        return R_EMI[system]
    return results_of()["estimates"]["categories"][category]["reasoned"]["emi"]["club"]["token_rate"]["value"]
