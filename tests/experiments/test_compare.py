"""The compare script: runs as arguments, a table on the terminal, files where they are asked for."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluated import evaluation, saved, with_other_policy
from score_arrays import score_arrays, without

import remid_jax
from experiments import compare as script
from remid_jax.errors import UserError
from remid_jax.evaluation.comparison import compare
from remid_jax.reporting import comparison_page


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of 4 records a category, and one under another estimator."""
    arrays = without(score_arrays({"IDTest": 4, "german": 4}, seed=1), "/self/", "golden_half", "constant")
    root = tmp_path_factory.mktemp("runs")
    runs = {
        "base": evaluation(arrays),
        "sft": evaluation(with_other_policy(arrays), {"policy.adapter": "adapters/sft"}),
        "elsewhere": evaluation(arrays, {"estimator.model": "other", "fingerprints.estimator": "e1"}),
        "later": evaluation(arrays, {"schema_version": 2}),
    }
    for name, run in runs.items():
        saved(root / name, run)
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "results.json").write_text("{")
    return root


def test_runs_are_compared_on_the_terminal_and_in_files(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    files = {"output": "found.json", "page": "found.md", "html": "found.html", "table": "found.parquet", "lm_eval": "lm.json"}
    script.main(["base", "sft"], {flag: str(tmp_path / name) for flag, name in files.items()})
    found = compare(["base", "sft"])
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(json.dumps(found.results))
    german = next(row for row in found.headline if (row.name, row.quantity) == ("german", "emid"))
    cell = f"{german.value:+.4f} ({german.simultaneous_low:+.4f}, {german.simultaneous_high:+.4f})†"
    printed, page = capsys.readouterr().out, (tmp_path / "found.md").read_text()
    assert f"german                        {german.baseline_value:+.4f}  {cell}" in printed
    assert f"| german | {german.baseline_value:+.4f} | {cell} |" in page
    assert "sft differs from base in policy.adapter (not set -> 'adapters/sft')" in printed
    assert pq.read_table(tmp_path / "found.parquet").equals(found.table())
    assert json.loads((tmp_path / "lm.json").read_text()) == json.loads(json.dumps(found.lm_eval()))
    assert (tmp_path / "found.html").read_text() == comparison_page.html(found.results)


def test_a_folder_of_runs_stands_for_all_of_them_but_those_named_before(folders, tmp_path, monkeypatch):
    sweep = tmp_path / "sweep"
    for name in ("evaluate/b", "evaluate/a", "train/a"):
        shutil.copytree(folders / "sft", sweep / name)
    (sweep / "train" / "a" / "scores.npz").unlink()  # such as a training run, which is no evaluation
    monkeypatch.chdir(tmp_path)
    assert compare(["sweep"]).runs == ("sweep/evaluate/a", "sweep/evaluate/b")
    assert compare(["sweep/evaluate/b", "sweep"]).runs == ("sweep/evaluate/b", "sweep/evaluate/a")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (["base"], "1 run given: name two or more, the baseline first"),
        (["base", "empty"], "empty/results.json: cannot be read (No such file or directory): check the path"),
        (["base", "broken"], "broken/results.json: line 1, column 2: broken JSON"),
        (["base", "later"], "later/results.json: is no evaluation of version 1 but 2: evaluate again"),
        (["base", "elsewhere"], "elsewhere: cannot be compared with base, from which it differs in estimator.model ("),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_file_is_written(folders, tmp_path, monkeypatch, runs, said):
    monkeypatch.chdir(folders)
    with pytest.raises(UserError) as refused:
        script.main(runs, {"output": str(tmp_path / "found.json")})
    assert str(refused.value).startswith(said)
    assert not (tmp_path / "found.json").exists()
    with pytest.raises(UserError) as refused:
        script.main(["base", "sft"], {"output": "nowhere/found.json"})
    assert str(refused.value).startswith("--output=nowhere/found.json: there is no folder ")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("config.benchmark", "config.benchmark: missing"),
        ("fingerprints.protocol", "fingerprints.protocol: missing"),
        ("policy", "policy: missing"),
        ("reading.models.estimator.tokenizer", "reading.models.estimator.tokenizer: missing"),
        ("estimates.settings", "estimates.settings: missing"),
    ],
)
def test_results_that_lack_something_are_refused(folders, tmp_path, key, said):
    shutil.copytree(folders / "sft", tmp_path / "run")
    results = part = json.loads((tmp_path / "run" / "results.json").read_text())
    *path, last = key.split(".")
    for step in path:
        part = part[step]
    del part[last]
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError) as refused:
        script.main([str(folders / "base"), str(tmp_path / "run")])
    assert str(refused.value) == f"{tmp_path}/run/results.json: {said}: evaluate again"


def test_samples_that_cannot_be_read_are_refused(folders, tmp_path):
    shutil.copytree(folders / "sft", tmp_path / "run")
    samples = tmp_path / "run" / "samples.parquet"
    for replies in ({}, {"reply": [7]}):
        pq.write_table(pa.table({"category": ["IDTest"], "record": ["IDTest-1"], **replies}), samples)
        with pytest.raises(UserError) as refused:
            script.main([str(folders / "base"), str(tmp_path / "run")], {"html": str(tmp_path / "c.html")})
        assert str(refused.value) == f"{samples}: has no column reply of texts: evaluate again"
    samples.write_bytes(b"a,b\r\n1,2\r\n" * 9)
    with pytest.raises(UserError) as refused:
        script.main([str(folders / "base"), str(tmp_path / "run")], {"html": str(tmp_path / "c.html")})
    assert str(refused.value).startswith(f"{samples}: cannot be read (Parquet magic bytes not found")


def test_slips_on_the_command_line_end_with_one_line_and_status_2(run, folders):
    assert run("compare", str(folders / "base")).error == "error: 1 run given: name two or more, the baseline first"
    assert run("compare", "a", "b", "--workdir=x").error == "error: --workdir: compare takes no such flag: leave it out"


def test_evaluations_of_two_policies_by_one_estimator_are_comparable(tiny_directory, few_records, tmp_path):
    """Real results hold what comparing reads, and golden replies are scored alike beside any others."""
    records = [json.loads(line)["sample_ID"] for line in few_records.read_text().splitlines()]
    said = {"terse": "Indeed.", "wordy": "Whatever you say, my friend: the sea was there before us and will be there after."}
    evaluations = {
        name: remid_jax.evaluate(
            str(few_records),
            policy={"replies": {record: f"{reply} ({record})" for record in records}},
            estimator={"model": tiny_directory, "adapters": "", "max_reasoning": 4},
            devices={"sampling_rows": 2, "tokens_per_step": 1024},
            store=str(tmp_path / "store.sqlite"),
            progress=remid_jax.Silent(),
        )
        for name, reply in said.items()
    }
    found = remid_jax.compare(evaluations)
    for name, value in (("terse", "baseline_value"), ("wordy", "run_value")):
        emid = {row.name: getattr(row, value) for row in found.headline if (row.quantity, row.kind) == ("emid", "category")}
        numbers = {of.name: of.r_emid.value for of in evaluations[name].categories.values() if of.r_emid}
        assert emid == pytest.approx(numbers, abs=1e-5)  # the baseline's golden scores serve both
    assert found.headline[0].value != 0
    changed = found.results["changed"]["wordy"]
    assert changed[0]["reply"].startswith("Whatever you say")
    assert changed[0]["baseline_reply"].startswith("Indeed.")
