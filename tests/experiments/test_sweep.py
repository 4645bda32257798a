"""`experiments.sweep` on a tiny model: every point is run once, refers to what it needs, and the tables are of its results."""

import dataclasses
import importlib
import json
import re

import numpy as np
import pytest
from scripts import load, stop

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.evaluation import loaded
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter
from remid_jax.sweeps.tasks import TASKS
from remid_jax.synthetic import world_models
from remid_jax.synthetic.reasoned_world import DIALOGUES, FEATURES, REPLIES, truth

NAMES = ["Ana baker", "Bo knight", "Cy pilot", "Ana witch"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model that knows the words of `reasoned_world` and no more; its prompts are `world_models.PROMPTS`."""
    folder = tmp_path_factory.mktemp("base")
    world_models.write_base(folder, Prompts.load(world_models.PROMPTS), steps=8, batch=4, learning_rate=3e-3, seed=0)
    return str(folder)


def write_records(path, categories, lineage):
    """Four records a category, of words that the model knows."""
    records = [
        Record(f"{category} {name}", name.split()[0], {"is": name.split()[1]}, (Turn("user", DIALOGUES[place]),),
               REPLIES[n + place], category, lineage=lineage.format(category=category, name=name))
        for place, category in enumerate(categories)
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    write_jsonl(path, records)
    return records


class Killed(BaseException):
    pass


@pytest.fixture
def counted(monkeypatch):
    """The folders in which tasks were run; a task that is to run in `counted.kill` is killed."""

    class Counted(list):
        kill = None

    runs = Counted()

    def counting(task):
        def run(config, folder, surroundings):
            if runs.kill and str(folder).endswith(runs.kill):
                raise Killed
            runs.append(folder)
            return task.run(config, folder, surroundings)

        return dataclasses.replace(task, run=run)

    for name, task in list(TASKS.items()):
        monkeypatch.setitem(TASKS, name, counting(task))
    return runs


def names(runs, workdir):
    return [str(folder.relative_to(workdir)) for folder in runs]


@pytest.fixture
def policies(base, tmp_path):
    """Changes of configs/sweeps/policies.py: three policies, of two steps each, on four records a category."""
    write_records(tmp_path / "records.jsonl", ("IDTrain", "IDTest", "german"), "{category} {name}")
    changes = {
        "policies": ("base", "sft", "rft"), "output": str(tmp_path / "policies.json"), "page": str(tmp_path / "policies.md"),
        "evaluate.benchmark.source": str(tmp_path / "records.jsonl"), "evaluate.estimator.adapters": "",
        "evaluate.estimator.model": base, "evaluate.policy.model": base,
        "evaluate.estimator.max_reasoning": 4, "evaluate.policy.max_reply": 4, "evaluate.devices.sampling_rows": 2,
        "evaluate.prompts": str(world_models.PROMPTS), "evaluate.devices.tokens_per_step": 256, "evaluate.devices.max_row": 256,
    }  # fmt: skip
    for name in ("sft", "rft"):
        changes |= {
            f"train.{name}.{key}": value
            for key, value in {
                "model": base, "prompts": str(world_models.PROMPTS), "benchmark.source": str(tmp_path / "records.jsonl"),
                "steps": 2, "batch": 2, "rollouts.max_new": 4, "rollouts.rows": 2, "lora.rank": 2,
                "devices.tokens_per_step": 256, "devices.max_row": 256,
            }.items()
        }  # fmt: skip
    return changes


def test_policies_are_trained_measured_once_and_set_side_by_side(call, refused, policies, counted, base, tmp_path, capsys):
    workdir, sweep = tmp_path / "runs", {"script": "sweep", "config": "sweeps.policies"}
    counted.kill = "train/rft"
    with pytest.raises(Killed):
        call(changes=policies, workdir="runs", **sweep)
    before = load(tmp_path / "policies.json")["points"]
    assert list(before) == ["evaluate/base", "train/sft", "evaluate/sft"]
    assert "| rft | not run |" in (tmp_path / "policies.md").read_text()

    counted.kill = None
    call(changes=policies, workdir="runs", **sweep)
    assert names(counted, workdir) == ["evaluate/base", "train/sft", "evaluate/sft", "train/rft", "evaluate/rft"]
    found = load(tmp_path / "policies.json")["points"]
    assert {name: found[name] for name in before} == before

    bare = open_model(base, "float32")
    for name in ("base", "sft", "rft"):
        summary, results = found[f"evaluate/{name}"]["summary"], load(workdir / "evaluate" / name / "results.json")
        emi = {c: results["estimates"]["categories"][c]["reasoned"]["emi"]["club"]["token_rate"] for c in ("IDTest", "german")}
        assert summary["r_emi"] == emi
        assert summary["r_emid_by_shift"]["user"]["value"] == pytest.approx(
            emi["IDTest"]["value"] - emi["german"]["value"], rel=1e-9
        )
        assert summary["scorers"]["reasoned"]["r_emi"]["policy"] == {category: of["value"] for category, of in emi.items()}
        adapter = workdir / "train" / name / "adapter"
        expected = bare if name == "base" else adapted(bare, read_adapter(adapter, bare))
        assert results["config"]["store"] == str(workdir / "store.sqlite")
        assert summary["fingerprints"]["policy"] == results["fingerprints"]["policy"] == expected.fingerprint
        if name != "base":
            assert found[f"train/{name}"]["summary"]["steps"] == 2
    assert load(workdir / "train" / "rft" / "point.json")["identity"]["paths"]["adapter"] == "point:train/sft/adapter"
    assert str(workdir / "train" / "sft" / "adapter") in json.dumps(Checkpoints(workdir / "train/rft/checkpoints").beside(2))

    page, value = (tmp_path / "policies.md").read_text(), found["evaluate/sft"]["summary"]["r_emid_by_shift"]["user"]
    assert f"| {value['value']:+.4f} ({value['interval']['low']:+.4f}, " in page
    assert [line.split(" | ")[0] for line in page.splitlines() if line.endswith((" 0 |", " 2 |"))] == [
        "| base",
        "| sft",
        "| rft",
    ]
    assert "sft" in capsys.readouterr().out

    del counted[:]
    call(changes=policies, workdir="another", **sweep)  # what stands in the output is done, whatever the workdir
    assert counted == []
    message = refused(changes=policies | {"train.sft.steps": 3}, workdir="runs", **sweep)
    assert (
        f"{tmp_path / 'policies.json'}: holds points that this config asks for otherwise: train/sft differs in steps (2 -> 3):"
        in message
    )
    assert (tmp_path / "policies.md").read_text() == page


def test_a_point_that_trains_saves_when_it_is_stopped_and_goes_on(call, policies, monkeypatch, tmp_path):
    changes = policies | {"policies": ("base", "sft"), "only": ("train/sft",), "train.sft.save_every": 100}
    with monkeypatch.context() as stopped:
        stop(stopped, importlib.import_module("experiments.sweep"), iter([True]))
        with pytest.raises(SystemExit, match="stopped after step 1 of 2, saved: run the same command again"):
            call("sweep", changes, "runs", config="sweeps.policies")
    assert not (tmp_path / "policies.json").exists()
    call("sweep", changes, "runs", config="sweeps.policies")
    assert load(tmp_path / "policies.json")["points"]["train/sft"]["summary"]["steps"] == 2
    rows = (tmp_path / "runs/train/sft/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1]


def test_tables_alone_run_nothing(call, policies, counted, tmp_path):
    call("sweep", policies | {"only_tables": True}, config="sweeps.policies")
    assert counted == []
    assert re.findall(r"^\| (\w+) \| not run ", (tmp_path / "policies.md").read_text(), re.MULTILINE) == ["base", "sft", "rft"]


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ((), "config.policies: names none: choose some of base, da_sft"),
        (("base", "ppo"), "config.policies: 'ppo': choose some of base, da_sft"),
        (("base", "rft"), "config.policies: rft begins from sft, which must be named, too"),
    ],
)
def test_policies_that_cannot_be_run_are_refused(refused, chosen, error):
    changes = {"policies": chosen, "output": "policies.json", "page": "policies.md"}
    assert refused("sweep", changes, config="sweeps.policies").startswith(error)


@pytest.fixture
def arms(base, tmp_path):
    """Changes of configs/sweeps/ablation.py: two arms, one seed, a step or two a phase."""
    records = write_records(tmp_path / "records.jsonl", ("IDTest", "german"), "{name}")
    rows = [
        {"sample_ID": record.id, "reasoning": f"```\n[Core Features of the Golden Response]\n- {FEATURES[n % 5]}\n```"}
        for n, record in enumerate(records)
    ]
    (tmp_path / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source, prompts = str(tmp_path / "records.jsonl"), str(world_models.PROMPTS)
    plain = (("plain_responder", 1),)
    return {
        "seeds": (0,), "reference": "plain", "output": str(tmp_path / "ablation.json"), "page": str(tmp_path / "ablation.md"),
        "arms": {"plain": plain, "taught": (("cold_reasoner", 1),)},
        "corl.benchmark.source": source, "evaluate.benchmark.source": source, "corl.model": base,
        "evaluate.estimator.model": base, "evaluate.policy.model": base, "corl.prompts": prompts, "evaluate.prompts": prompts,
        "corl.teacher.reasoning": str(tmp_path / "teacher.jsonl"),
        "corl.batch": 2, "corl.draws": 3, "corl.max_reasoning": 4, "corl.lora.rank": 2,
        "corl.devices.sampling_rows": 2, "world.corl.devices.sampling_rows": 2,
        "evaluate.estimator.max_reasoning": 4, "evaluate.policy.max_reply": 4, "evaluate.devices.sampling_rows": 2,
        "corl.devices.tokens_per_step": 256, "corl.devices.max_row": 256, "evaluate.devices.tokens_per_step": 256,
        "evaluate.devices.max_row": 256, "world.corl.devices.tokens_per_step": 256, "world.corl.devices.max_row": 256,
        "world.records": 8, "world.base.steps": 2, "world.base.batch": 4,
        "world.arms": {"plain": plain, "taught": (("cold_reasoner", 1), ("reasoner_grpo", 2))},
        "world.losses": {"taught": {"penalty": "k2", "penalty_weight": 0.1}},
        "world.corl.batch": 2, "world.corl.prompts_per_step": 1, "world.corl.draws": 3,
    }  # fmt: skip


def test_arms_are_run_once_and_compared_record_by_record(call, arms, counted, tmp_path):
    workdir, sweep = tmp_path / "runs", {"script": "sweep", "config": "sweeps.ablation"}
    counted.kill = "runs/taught/seed0/train"
    with pytest.raises(Killed):
        call(changes=arms, workdir="runs", **sweep)
    assert "| taught | not run |" in (tmp_path / "ablation.md").read_text()
    counted.kill = None
    call(changes=arms, workdir="runs", **sweep)
    assert names(counted, workdir) == [
        "world/base", "world/records0", "world/plain/seed0/train", "world/plain/seed0", "world/taught/seed0/train",
        "world/taught/seed0", "replies", "plain/seed0/train", "plain/seed0", "taught/seed0/train", "taught/seed0",
    ]  # fmt: skip
    found = {name: done["summary"] for name, done in load(tmp_path / "ablation.json")["points"].items()}
    taught = found["taught/seed0/train"]
    assert taught["tokens"] > 0
    check_world(found, workdir)

    for arm, scorer in (("plain", "plain"), ("taught", "reasoned")):
        estimates = load(workdir / arm / "seed0" / "results.json")["estimates"]
        kept = found[f"{arm}/seed0"]["scorers"][scorer]["r_emi"]
        assert kept.keys() == {"policy", "golden_other", "golden_half"}
        for category, of in estimates["categories"].items():
            assert kept["policy"][category] == of[scorer]["emi"]["club"]["token_rate"]["value"]
        assert load(workdir / arm / "seed0" / "results.json")["config"]["policy"]["replies"] == str(
            workdir / "replies/replies.jsonl"
        )

    rows = table_rows(tmp_path / "ablation.md")
    rmse = {arm: found[f"world/{arm}/seed0"]["r_emid_rmse"] for arm in ("plain", "taught")}
    assert rows["the truth is known"]["taught"]["error of R-EMID"] == f"{rmse['taught']:.3f}"
    assert rows["the truth is known"]["taught"]["minus plain"] == f"{rmse['taught'] - rmse['plain']:+.3f}"
    own, empty, without = (golden_values(workdir, *of) for of in (("taught", "own"), ("taught", "empty"), ("plain", "empty")))
    assert taught["golden_log_likelihoods"]["test"]["user"]["german"]["Bo knight"] == {
        "german Bo knight": own["german Bo knight"]
    }
    of_benchmark = rows["on the benchmark"]
    for group, category in (("IDTest", "IDTest"), ("user", "german")):
        gains = [own[f"{category} {name}"] - without[f"{category} {name}"] for name in NAMES]
        assert of_benchmark["taught"][f"minus plain: {group}"].split(" ")[0] == f"{np.mean(gains):+.4f}"
    mean = {name: np.mean(list(values.values())) for name, values in (("own", own), ("empty", empty), ("plain", without))}
    assert of_benchmark["taught"]["golden log-likelihood"] == f"{mean['own']:+.3f}"
    assert of_benchmark["taught"]["reasoning's gain"] == f"{mean['own'] - mean['empty']:+.3f}"
    assert of_benchmark["plain"]["golden log-likelihood"] == f"{mean['plain']:+.3f}"
    emi = found["plain/seed0"]["scorers"]["plain"]["r_emi"]["policy"]["IDTest"]  # who was trained without is read without
    assert of_benchmark["plain"]["R-EMI IDTest"] == f"{emi:+.3f}"

    del counted[:]
    call(changes=arms, workdir="another", **sweep)
    assert counted == []


def golden_values(workdir, arm, control):
    """{record: its golden reply's mean log-likelihood under the pair that has not seen it}."""
    folds = load(workdir / arm / "seed0" / "train" / "controls.json").values()
    return {row["sample_ID"]: row[control] for fold in folds for row in fold["records"]}


def table_rows(page):
    """{the last words of a table's title: {row: {column: text}}} of a page of Markdown."""
    tables = {}
    for section in page.read_text().split("\n## ")[1:]:
        title, _, *lines = section.splitlines()
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")
        )  # fmt: skip
        tables[title.partition("where ")[2] or title.removeprefix("Arms ")] = {
            row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows
        }
    return tables


def check_world(found, workdir):
    """Arms are trained by their own schedules and losses, and their errors are their figures minus the truth."""
    plain, taught = found["world/plain/seed0"], found["world/taught/seed0"]
    assert [found[f"world/{arm}/seed0/train"]["rollouts"] for arm in ("plain", "taught")] == [0, 6]  # one prompt, three draws
    assert "features_named" not in plain  # no reasoning
    assert 0 <= taught["features_named"] <= 1
    for arm in (plain, taught):
        errors = []
        for policy, right in truth()["r_emid"].items():
            for shift, value in right.items():
                errors.append(arm["r_emid"][policy][shift] - value)
                assert arm["r_emid_error"][policy][shift] == pytest.approx(errors[-1])
        assert arm["r_emid_rmse"] == pytest.approx(np.linalg.norm(errors) / 3)
        assert arm["golden_log_likelihood_gap"] < 0
    for arm, penalty in (("plain", "none"), ("taught", "k2")):
        manifest = load(workdir / "world" / arm / "seed0" / "train" / "estimator" / "manifest.json")
        assert manifest["about"]["config"]["loss"]["penalty"] == penalty


def test_rungs_are_written_and_measured_with_one_model_and_shared_rows(call, refused, base, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(loaded, "open_model", lambda *given: (opened.append(given[0]), open_model(*given))[1])
    write_records(tmp_path / "records.jsonl", ("IDTest", "german"), "{category} {name}")
    changes = {
        "rungs": ("golden", "parrot 100%"), "models": (), "output": str(tmp_path / "index.json"),
        "page": str(tmp_path / "page.md"), "evaluate.benchmark.source": str(tmp_path / "records.jsonl"),
        "evaluate.estimator.model": base, "evaluate.prompts": str(world_models.PROMPTS),
        "evaluate.estimator.max_reasoning": 4, "evaluate.devices.sampling_rows": 2,
        "evaluate.devices.tokens_per_step": 256, "evaluate.devices.max_row": 256,
    }  # fmt: skip
    call("sweep", changes, "runs", config="sweeps.quickstart")
    assert opened == [base]
    points = load(tmp_path / "index.json")["points"]
    golden, parrot = (points[f"evaluate/{name}"] for name in ("golden", "parrot_100"))
    assert {emi["value"] for emi in golden["summary"]["r_emi"].values()} == {0}
    assert parrot["summary"]["r_emi"]["IDTest"]["value"] != 0
    said = {name: [json.loads(line)["reply"] for line in (tmp_path / "runs/replies" / name / "replies.jsonl").open()]
            for name in ("golden", "parrot_100")}  # fmt: skip
    assert said["golden"] == [REPLIES[n + place] for place in (0, 1) for n in range(4)]
    assert said["parrot_100"] == [DIALOGUES[place] for place in (0, 1) for _ in range(4)]
    # The reasoning of all eight records, and rows of golden replies, were there for the second evaluation.
    assert (golden["work"]["replies_computed"], parrot["work"]["replies_computed"]) == (8, 0)
    assert parrot["work"]["replies_from_store"] == 8
    assert parrot["work"]["rows_from_store"] > 0
    assert f"{golden['work']['rows_computed'] + parrot['work']['rows_computed']:,} rows computed" in capsys.readouterr().err

    unknown = changes | {"rungs": ("silver",), "output": str(tmp_path / "other.json")}
    assert refused("sweep", unknown, "runs", config="sweeps.quickstart").startswith("1 of 2 points failed: replies/silver: ")
    assert "failed: replies/silver: rung 'silver': choose one of golden, misnamed, " in capsys.readouterr().err


def test_a_reference_that_is_no_arm_is_refused(refused):
    changes = {"reference": "nobody", "output": "ablation.json", "page": "ablation.md"}
    message = refused("sweep", changes, config="sweeps.ablation")
    assert message.startswith("config.reference='nobody': choose one of config.arms: cold_start, corl")


@pytest.fixture
def measured_here(base, tmp_path):
    """Changes of an evaluation: four records a category, a few tokens, by the small model."""
    write_records(tmp_path / "records.jsonl", ("IDTrain", "IDTest", "german"), "{category} {name}")
    return {
        "output": str(tmp_path / "index.json"), "page": str(tmp_path / "page.md"),
        "evaluate.benchmark.source": str(tmp_path / "records.jsonl"), "evaluate.benchmark.categories": (),
        "evaluate.estimator.adapters": "", "evaluate.estimator.model": base, "evaluate.policy.model": base,
        "evaluate.estimator.max_reasoning": 4, "evaluate.policy.max_reply": 4, "evaluate.devices.sampling_rows": 2,
        "evaluate.prompts": str(world_models.PROMPTS), "evaluate.devices.tokens_per_step": 256, "evaluate.devices.max_row": 256,
    }  # fmt: skip


def test_every_kept_checkpoint_is_a_point_and_a_row(call, measured_here, base, tmp_path):
    changes = measured_here | {
        "seeds": (0,), "train.model": base, "train.prompts": str(world_models.PROMPTS), "train.steps": 2, "train.keep_every": 1,
        "train.benchmark.source": str(tmp_path / "records.jsonl"), "train.batch": 2, "train.lora.rank": 2,
        "train.optimizer.learning_rate": 0.3,  # so that replies change
        "train.devices.tokens_per_step": 256, "train.devices.max_row": 256,
    }  # fmt: skip
    workdir = call("sweep", changes, "runs", "sweeps.checkpoints")
    found, run = load(tmp_path / "index.json")["points"], workdir / "train" / "seed0"
    assert list(found) == ["train/seed0", "evaluate/base", "evaluate/seed0/1", "evaluate/seed0/2", "compare"]
    bare = open_model(base, "float32")
    shown, compared = table_rows(tmp_path / "page.md").values()
    assert list(shown) == list(compared) == ["base", "seed0@1", "seed0@2"]
    for step in (1, 2):
        results = load(workdir / "evaluate" / "seed0" / str(step) / "results.json")
        policy = adapted(bare, read_adapter(run / "kept" / str(step), bare)).fingerprint
        assert results["fingerprints"]["policy"] == policy
        assert (results["policy"]["run"], results["policy"]["step"]) == (str(run), step)
        emi = results["estimates"]["categories"]["IDTest"]["reasoned"]["emi"]["club"]["token_rate"]["value"]
        assert shown[f"seed0@{step}"]["R-EMI IDTest"].split(" ")[0] == f"{emi:+.4f}"
        emid = results["estimates"]["headline"]["categories"]["german"]["value"]
        base_emid = load(workdir / "evaluate" / "base" / "results.json")["estimates"]["headline"]["categories"]["german"][
            "value"
        ]
        assert compared[f"seed0@{step}"]["R-EMID"] == f"{emid:+.4f}"
        assert float(compared[f"seed0@{step}"]["minus base"].split(" ")[0]) == pytest.approx(emid - base_emid, abs=6e-5)
        low, high = (int(compared[f"seed0@{step}"][f"{end} rank"]) for end in ("best", "worst"))
        assert 1 <= low <= high <= 3
    assert "<svg" in (workdir / "compare" / "compare.html").read_text()
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == (
        run / "kept" / "2" / "adapter_model.safetensors"
    ).read_bytes()


def test_estimators_measure_the_same_replies_with_and_without_reasoning(call, measured_here, tmp_path):
    workdir = call("sweep", measured_here | {"estimators": {"base": ""}}, "runs", "sweeps.estimators")
    results = load(workdir / "measure" / "base" / "results.json")
    [shown] = table_rows(tmp_path / "page.md").values()
    assert list(shown) == ["base, own reasoning", "base, no reasoning"]
    golden = [row for rows in results["records"].values() for row in rows]
    assert len(golden) == 8
    for scorer, row in zip(("reasoned", "plain"), shown.values(), strict=True):
        likelihood = np.mean([of[f"golden_loglik_{scorer}"] / of["golden_tokens"] for of in golden])
        assert row["golden log-likelihood"] == f"{likelihood:+.3f}"
        for category in ("IDTest", "german"):
            emi = results["estimates"]["categories"][category][scorer]["emi"]["club"]["token_rate"]["value"]
            assert row[f"R-EMI {category}"] == f"{emi:+.3f}"
