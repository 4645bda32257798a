"""`experiments.ablation` on a tiny model: arms are trained and measured once, the table says what has not been run."""

import importlib
import json

import numpy as np
import pytest

from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.learning.corl import CoRL
from remid_jax.reporting import ablation

NAMES = ["Ana", "Bo", "Cy", "Di"]
RECORDS = [
    Record(f"{category} {name}", f"{name}, a baker.", {"name": name * 2}, (Turn("user", f"Why, {name}?"),),
           f"Because {name} says so {len(category)}.", category, lineage=name)
    for category in ("IDTest", "german")
    for name in NAMES
]  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    return importlib.import_module("experiments.ablation")


@pytest.fixture
def config(ending_directory, tmp_path):
    write_jsonl(tmp_path / "records.jsonl", RECORDS)
    rows = [
        {"sample_ID": of.id, "reasoning": f"```\n[Core Features of the Golden Response]\n- {of.lineage}\n```"} for of in RECORDS
    ]
    (tmp_path / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = importlib.import_module("configs.ablation").get_config()
    with config.unlocked():
        config.seeds, config.reference = (0,), "plain"
        config.output, config.page = str(tmp_path / "ablation.json"), str(tmp_path / "ablation.md")
        config.arms = {"plain": (("plain_responder", 2),), "taught": (("cold_reasoner", 1), ("reasoner_grpo", 1))}
    for part in (config.corl, config.evaluate):
        part.benchmark.source = str(tmp_path / "records.jsonl")
    config.corl.model = config.evaluate.estimator.model = config.evaluate.policy.model = str(ending_directory)
    config.corl.teacher.reasoning = str(tmp_path / "teacher.jsonl")
    config.corl.batch, config.corl.draws, config.corl.max_reasoning, config.corl.lora.rank = 2, 3, 4, 2
    config.evaluate.estimator.max_reasoning = config.evaluate.policy.max_reply = 4
    world = config.world
    world.records, world.base.steps, world.base.batch = 8, 2, 4
    with config.unlocked():
        world.arms = {"plain": (("plain_responder", 2),), "taught": (("cold_reasoner", 1), ("reasoner_grpo", 2))}
        world.losses = {"taught": {"penalty": "k2", "penalty_weight": 0.1}}
    world.corl.batch, world.corl.prompts_per_step, world.corl.draws = 2, 1, 3
    return config


def test_arms_are_run_once_and_compared_record_by_record(script, config, tmp_path, monkeypatch):
    workdir = tmp_path / "runs"
    whole = script.arms.run

    def killed(ground, arm, seed):
        if (ground.name, arm) == ("the benchmark", "taught"):
            raise KeyboardInterrupt
        return whole(ground, arm, seed)

    monkeypatch.setattr(script.arms, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        script.main(config, workdir)
    before = json.loads((tmp_path / "ablation.json").read_text())
    assert before["arms"]["taught"] == {"0": "not run"}
    assert "| taught | not run |" in (tmp_path / "ablation.md").read_text()
    assert before["golden_log_likelihood_minus_reference"] == {"taught": "not run"}

    began = []
    phases = CoRL.phases
    monkeypatch.setattr(script.arms, "run", whole)
    monkeypatch.setattr(CoRL, "phases", lambda self: began.append(self) or phases(self))
    script.main(config, workdir)
    assert len(began) == 2  # both folds of the arm that was missing, and nothing of the other, or of the world
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert found["arms"]["plain"] == before["arms"]["plain"]
    taught = found["arms"]["taught"]["0"]
    assert (found["arms"]["plain"]["0"]["rollouts"], taught["rollouts"]) == (0, 6)  # one prompt of three draws a fold
    assert taught["tokens"] > 0
    assert taught["r_emi"].keys() == {"policy", "golden_other", "golden_half"}
    assert taught["r_emi"]["policy"].keys() == {"IDTest", "german"}

    script.main(config, tmp_path / "another")  # what stands in the output is done, whatever the workdir
    assert len(began) == 2
    assert json.loads((tmp_path / "ablation.json").read_text()) == found
    assert found["arms"]["taught"]["0"]["golden_log_likelihoods"] == golden_values(workdir, "taught", "own")

    assert found["world"] == before["world"]
    check_world(found["world"])
    for arm, penalty in (("plain", "none"), ("taught", "k2")):
        manifest = json.loads((workdir / "world" / arm / "seed0" / "estimator" / "manifest.json").read_text())
        assert manifest["about"]["config"]["loss"]["penalty"] == penalty

    for arm, scorer in (("plain", "plain"), ("taught", "reasoned")):  # who was trained without reasoning is read without
        estimates = json.loads((workdir / arm / "seed0" / "estimate" / "results.json").read_text())["estimates"]
        for category, of in estimates["categories"].items():
            expected = of[scorer]["emi"]["club"]["token_rate"]["value"]
            assert found["arms"][arm]["0"]["r_emi"]["policy"][category] == expected

    compared = found["golden_log_likelihood_minus_reference"]["taught"]
    for group, category in (("IDTest", "IDTest"), ("user", "german")):
        taught, plain = golden_values(workdir, "taught", "own"), golden_values(workdir, "plain", "empty")
        gains = [taught[f"{category} {name}"] - plain[f"{category} {name}"] for name in NAMES]
        assert compared[group]["value"] == pytest.approx(np.mean(gains))
        assert compared[group]["interval"]["clusters"] == 4

    page, [of_world, of_benchmark] = (
        (tmp_path / "ablation.md").read_text(),
        (
            {row.label: dict(zip([column.name for column in of.columns], row.cells, strict=True)) for row in of.rows}
            for of in (ablation.world(found), ablation.benchmark(found))
        ),
    )
    rmse = {arm: found["world"]["arms"][arm]["0"]["r_emid_rmse"] for arm in ("plain", "taught")}
    assert of_world["taught"]["error of R-EMID"].value == rmse["taught"]
    assert of_world["taught"]["minus plain"].text == f"{rmse['taught'] - rmse['plain']:+.3f}"
    assert of_benchmark["taught"]["minus plain: user"].value == compared["user"]["value"]
    own, empty = (np.mean(list(golden_values(workdir, "taught", control).values())) for control in ("own", "empty"))
    assert of_benchmark["taught"]["golden log-likelihood"].value == pytest.approx(own)
    assert of_benchmark["taught"]["reasoning's gain"].value == pytest.approx(own - empty)
    assert of_benchmark["plain"]["golden log-likelihood"].value == pytest.approx(
        np.mean(list(golden_values(workdir, "plain", "empty").values()))
    )
    assert f"| taught | {rmse['taught']:.3f} | {rmse['taught'] - rmse['plain']:+.3f} |" in page


def golden_values(workdir, arm, control):
    """{record: its golden reply's mean log-likelihood under the pair that has not seen it}."""
    folds = json.loads((workdir / arm / "seed0" / "controls.json").read_text()).values()
    return {row["sample_ID"]: row[control] for fold in folds for row in fold["records"]}


def check_world(world):
    """Arms are there, trained by their own schedules, and their errors are their figures minus the truth."""
    assert world["arms"].keys() == {"plain", "taught"}
    plain, taught = world["arms"]["plain"]["0"], world["arms"]["taught"]["0"]
    assert (plain["rollouts"], taught["rollouts"]) == (0, 6)  # two steps of one prompt of three draws
    assert "features_named" not in plain  # no reasoning
    assert 0 <= taught["features_named"] <= 1
    for arm in (plain, taught):
        errors = []
        for policy, right in world["truth"]["r_emid"].items():
            for shift, value in right.items():
                errors.append(arm["r_emid"][policy][shift] - value)
                assert arm["r_emid_error"][policy][shift] == pytest.approx(errors[-1])
        assert arm["r_emid_rmse"] == pytest.approx(np.linalg.norm(errors) / 3)
        assert arm["golden_log_likelihood_gap"] < 0


def test_a_reference_that_is_no_arm_is_refused(script, config, tmp_path):
    config.reference = "nobody"
    with pytest.raises(UserError, match=r"config.reference='nobody': choose one of config.arms: plain, taught"):
        script.main(config, tmp_path)
