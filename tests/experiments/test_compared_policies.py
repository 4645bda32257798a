"""`experiments.policies` on a tiny model: every policy is trained and measured once, and the table is of their results."""

import importlib

import pytest
from scripts import change, load

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter
from remid_jax.reporting import policies

NAMES = ["Ana", "Bo", "Cy", "Di"]
RECORDS = [
    Record(f"{category} {name}", f"{name}, a {category} baker.", {"name": name * 2}, (Turn("user", f"Why, {name}?"),),
           f"Because {name} says so {len(category)}.", category, lineage=f"{category} {name}")
    for category in ("IDTrain", "IDTest", "german")
    for name in NAMES
]  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    return importlib.import_module("experiments.policies")


@pytest.fixture
def config(script, ending_directory, tmp_path):
    write_jsonl(tmp_path / "records.jsonl", RECORDS)
    config = importlib.import_module("configs.policies").get_config()
    changes = {
        "policies": ("base", "sft", "rft"), "output": str(tmp_path / "policies.json"), "page": str(tmp_path / "policies.md"),
        "evaluate.benchmark.source": str(tmp_path / "records.jsonl"), "evaluate.estimator.adapters": "",
        "evaluate.estimator.model": str(ending_directory), "evaluate.policy.model": str(ending_directory),
        "evaluate.estimator.max_reasoning": 4, "evaluate.policy.max_reply": 4, "evaluate.devices.sampling_rows": 4,
    }  # fmt: skip
    for name in ("sft", "rft"):
        changes |= {
            f"train.{name}.{key}": value
            for key, value in {
                "model": str(ending_directory), "benchmark.source": str(tmp_path / "records.jsonl"), "steps": 2, "batch": 2,
                "rollouts.max_new": 4, "lora.rank": 2,
            }.items()
        }  # fmt: skip
    change(config, changes)
    return config


def test_policies_are_trained_measured_once_and_set_side_by_side(
    script, config, ending_directory, tmp_path, monkeypatch, capsys
):
    workdir, whole = tmp_path / "runs", script.run_policy

    def killed(of, name, *rest):
        if name == "rft":
            raise KeyboardInterrupt
        return whole(of, name, *rest)

    monkeypatch.setattr(script, "run_policy", killed)
    with pytest.raises(KeyboardInterrupt):
        script.main(config, workdir)
    before = load(tmp_path / "policies.json")["policies"]
    assert before["rft"] == "not run"
    assert "| rft | not run |" in (tmp_path / "policies.md").read_text()

    run = []
    monkeypatch.setattr(script, "run_policy", lambda of, name, *rest: run.append(name) or whole(of, name, *rest))
    script.main(config, workdir)
    assert run == ["rft"]
    found = load(tmp_path / "policies.json")
    assert {name: found["policies"][name] for name in ("base", "sft")} == {name: before[name] for name in ("base", "sft")}

    base = open_model(str(ending_directory), "float32")
    for name, of in found["policies"].items():
        results = load(workdir / name / "evaluation" / "results.json")
        emi = {c: results["estimates"]["categories"][c]["reasoned"]["emi"]["club"]["token_rate"] for c in ("IDTest", "german")}
        assert of["r_emi"] == emi
        assert of["r_emid_by_shift"]["user"]["value"] == pytest.approx(
            emi["IDTest"]["value"] - emi["german"]["value"], rel=1e-9
        )
        adapter = workdir / name / "training" / "adapter"
        expected = base if name == "base" else adapted(base, read_adapter(adapter, base))
        assert results["config"]["store"] == str(workdir / "store.sqlite")
        assert of["fingerprints"]["policy"] == results["fingerprints"]["policy"] == expected.fingerprint
        assert of["steps"] == (0 if name == "base" else 2)
    learnt_from = read_adapter(workdir / "sft" / "training" / "adapter", base)
    begun = Checkpoints(workdir / "rft" / "training" / "checkpoints").beside(2)["identity"]["contents"]["adapter"]
    assert begun == learnt_from.fingerprint

    script.main(config, tmp_path / "another")  # what stands in the output is done, whatever the workdir
    assert run == ["rft"]
    change(config, {"train.sft.steps": 3})
    with pytest.raises(UserError, match="asks for otherwise: policies/sft, policies/rft: name another"):  # rft begins from it
        script.main(config, workdir)

    page, cells = (tmp_path / "policies.md").read_text(), found["policies"]["sft"]
    value = cells["r_emid_by_shift"]["user"]["value"]
    low = cells["r_emid_by_shift"]["user"]["interval"]["low"]
    assert f"| {value:+.4f} ({low:+.4f}, " in page
    table = policies.table(found)
    assert [row.label for row in table.rows] == ["base", "sft", "rft"]
    assert table.rows[1].cells[1].value == value
    assert "sft" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ((), "config.policies names none: choose some of base, da_sft"),
        (("base", "ppo"), "config.policies: 'ppo': choose some of base, da_sft"),
        (("rft", "sft"), "config.policies: rft begins from sft, which must be named before it"),
    ],
)
def test_policies_that_cannot_be_run_are_refused(script, config, tmp_path, names, error):
    change(config, {"policies": names})
    with pytest.raises(UserError, match=error):
        script.main(config, tmp_path)
