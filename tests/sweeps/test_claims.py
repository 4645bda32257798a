"""The sweep of the paper's claims: its contrasts by hand, the page it draws, and where their interval comes from."""

import json

import numpy as np
import pytest
from evaluated import evaluation, saved, with_other_policy
from fake_tasks import VERSIONS
from score_arrays import score_arrays, with_sources, without

from configs.sweeps import claims
from remid_jax import compare
from remid_jax.information.contrasts import CONTRADICTED, HOLDS, OPEN, answered
from remid_jax.information.differences import OVERALL
from remid_jax.information.intervals import Replicates
from remid_jax.parallel import Devices
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.plan import Done, planned
from remid_jax.sweeps.tables import page
from remid_jax.sweeps.tasks import TASKS

COUNTS = {"IDTest": 6, "german": 6, "Gaming": 6, "TurnLevelComposition": 6}
SHIFTS = {
    "estimates.shifts": {
        "user": {"categories": ["german"]},
        "character": {"categories": ["Gaming"]},
        "dialogue": {"categories": ["TurnLevelComposition"]},
    }
}


@pytest.fixture(scope="module")
def runs():
    """Five runs of the names that the config has, on the same records; golden replies also scored without reasoning."""
    arrays = without(score_arrays(COUNTS, seed=5), "/self/", "golden_half", "constant")
    for name in COUNTS:
        arrays[f"{name}/unreasoned/golden"] = np.diagonal(arrays[f"{name}/loglik/reasoned/golden"]) - 0.1 * np.arange(6)
    names = claims.get_config().policies
    policies = [with_other_policy(arrays, seed) if seed else arrays for seed in range(len(names))]
    parted = [without(with_sources(of_run, seed), "/plain/") for seed, of_run in enumerate(policies)]
    return {name: evaluation(of_run, SHIFTS) for name, of_run in zip(names, parted, strict=True)}


def contents(config, runs, tmp_path):
    point = next(point for point in config.sweep(config).points if point.name == "claims")
    return {"runs": {name: str(saved(tmp_path / name, run)) for name, run in runs.items()}, "claims": point.config["claims"]}


def test_every_claim_is_the_difference_of_the_losses_it_names(runs, tmp_path):
    config = claims.get_config()
    found = TASKS["claims"].run(contents(config, runs, tmp_path), tmp_path, None)
    assert json.loads((tmp_path / "claims.json").read_text()) == found
    losses = {name: {} for name in runs}
    for row in compare(runs, devices=Devices()).headline:
        losses["base"][row.kind, row.name, row.quantity] = row.baseline_value
        losses[row.run][row.kind, row.name, row.quantity] = row.run_value
    for quantity in ("emid", "novel_emid"):

        def lost(run, shift=None, quantity=quantity):
            return losses[run][*(("shift", shift) if shift else ("overall", OVERALL)), quantity]

        expected = {
            f"user shift costs more than {shift} shift": np.mean([lost(run, "user") - lost(run, shift) for run in runs])
            for shift in ("character", "dialogue")
        }
        expected |= {f"{run} loses more than grpo": lost(run) - lost("grpo") for run in runs if run != "grpo"}
        expected["thinking_sft loses more than sft"] = lost("thinking_sft") - lost("sft")
        expected["thinking_grpo loses more than grpo"] = lost("thinking_grpo") - lost("grpo")
        values = {claim: of[quantity]["number"]["value"] for claim, of in found.items() if quantity in of}
        assert values == pytest.approx(expected, abs=1e-12)
    tokens = {name: runs["base"].scores[f"{name}/tokens/golden"] for name in COUNTS}
    gain = np.mean([np.mean(0.1 * np.arange(6) / of_category) for of_category in tokens.values()])
    assert found["reasoning"]["gain"]["number"]["value"] == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize(("value", "answer"), [(3.0, HOLDS), (-3.0, CONTRADICTED), (0.1, OPEN)])
def test_an_answer_needs_an_interval_that_excludes_zero(value, answer):
    moved = np.array([0.0, -0.1, 0.1, 0.05, -0.05])
    made = {"a": Replicates(value + moved, np.ones(4, bool), 4), "b": Replicates(-moved, np.ones(4, bool), 4)}
    found = answered(made, unit="token_rate", estimator="club", n=4, level=0.95)["a"]
    alone = answered({"a": made["a"]}, unit="token_rate", estimator="club", n=4, level=0.95)["a"]
    assert found["answer"] == answer
    width, single = (of["number"]["interval"]["high"] - of["number"]["interval"]["low"] for of in (found, alone))
    assert width >= single  # two that hold together


def test_the_page_shows_numbers_with_intervals_and_answers(runs, tmp_path):
    config = claims.get_config()
    sweep = config.sweep(config)
    plan = planned(sweep.points, TASKS, VERSIONS)
    index = Index(tmp_path / "index.json", plan)
    found = TASKS["claims"].run(contents(config, runs, tmp_path), tmp_path, None)
    index.add("claims", Done(plan.identities["claims"], None, 0.5, found))
    written = page(sweep, index)
    claim = "thinking_sft loses more than sft"
    row = next(line for line in written.splitlines() if line.startswith(f"| {claim} |"))
    for quantity in ("emid", "novel_emid"):
        assert f"{found[claim][quantity]['number']['value']:+.4f} (" in row
        assert f"| {found[claim][quantity]['answer']} |" in row
    assert "| reasoning makes golden replies likelier | " in written


def test_no_claim_is_made_about_a_policy_that_is_left_out():
    config = claims.get_config()
    config.policies = ("base", "sft", "thinking_sft")
    assert list(claims.claims_about(config)) == [
        "user shift costs more than character shift",
        "user shift costs more than dialogue shift",
        "thinking_sft loses more than sft",
    ]


def test_the_config_says_its_command():
    assert f"\n    {claims.COMMAND}\n" in claims.__doc__
