"""A whole evaluation: repeated, edited, killed; its results depend on none of that."""

import contextlib
import json
import random
import signal
import time

import numpy as np
import pytest
from scipy.special import logsumexp
from scripts import ROOT, compilations, load, shapes

from experiments import cli
from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.score_files import read_scores
from remid_jax.information.estimates import Settings
from remid_jax.parallel import Devices
from remid_jax.progress import Silent

RESULTS = ("results.json", "samples.parquet", "scores.npz")
STAGES = ("reason", "respond", "score", "embed", "estimate", "report")


@pytest.fixture
def settings(tiny_directory, few_records):
    return {
        "benchmark.source": str(few_records), "estimator.model": str(tiny_directory), "policy.model": str(tiny_directory),
        "estimator.adapters": "", "estimator.max_reasoning": 24, "policy.max_reply": 24, "devices.sampling_rows": 2,
        "devices.tokens_per_step": 1024, "estimator.plain": "", "policy.self_samples": 2,
        "estimator.dtype": "float32", "policy.dtype": "float32", "first_look": False, "devices.max_row": 2048,
    }  # fmt: skip


@pytest.fixture
def flags(settings):
    return [f"--config={ROOT}/configs/quickstart.py", *(f"--config.{name}={value}" for name, value in settings.items())]


@pytest.fixture
def evaluate(call, settings):
    """evaluate("workdir", {"dotted.name": value}), in this process: the folder of its results."""

    def evaluate(workdir, changes=None):
        return call("evaluate", settings | (changes or {}), workdir, "quickstart")

    return evaluate


def contents(workdir):
    return {name: (workdir / name).read_bytes() for name in RESULTS}


def counts(workdir, kind):
    [found] = load(workdir / "run.json")[kind].values()
    return found


def test_repeated_edited_and_without_results(drawn_figures, evaluate, run, flags, tmp_path, few_records):
    work = tmp_path / "work"
    first = run("evaluate", *flags, f"--workdir={work}", JAX_LOG_COMPILES="1")
    assert first.code == 0, first.err
    before, scored = contents(work), counts(work, "scoring")
    # A bucket's rows are computed in steps of one or several sizes; none is compiled twice.
    for name, kind in (("score_rows", "logprobs"), ("embed_rows", "embedding mean")):
        assert compilations(first.err, name) == len(shapes(first.err, name)) >= len(scored["buckets"][kind]) > 1
    assert scored["store_misses"] == scored["rows"] > 0
    assert (work / "report.html").stat().st_size > 10_000

    report = (work / "report.html").read_bytes()
    for deleted in ("run.json", "results.json"):
        (work / deleted).unlink()
        evaluate("work")
        assert contents(work) == before
        assert (work / "report.html").read_bytes() == report
        for kind in ("scoring", "sampling"):
            done = counts(work, kind)
            assert (done["store_misses"], done["device_steps"]) == (0, 0)
            assert done["store_hits"] == done["rows"] > 0
        assert set(load(work / "run.json")["loaded"].values()) == {False}

    records = [json.loads(line) for line in few_records.read_text().splitlines()]
    edited = records[4]["agent_golden_response"]
    records[4]["agent_golden_response"] = "x" + edited[1:]  # within the horizon
    (tmp_path / "edited.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    evaluate("work", {"benchmark.source": "edited.jsonl"})
    assert counts(work, "sampling")["store_misses"] == 0
    touched = counts(work, "scoring")
    assert 0 < touched["store_misses"] <= touched["rows"] / 3 + 1  # one of three categories of equal size
    assert contents(work)["scores.npz"] != before["scores.npz"]
    old, new = load_scores(before["scores.npz"], tmp_path), load_scores(contents(work)["scores.npz"], tmp_path)
    changed = {name for name in old if not np.array_equal(old[name], new[name])}
    assert changed
    assert {name.split("/")[0] for name in changed} == {records[4]["subset_tag"]}
    for name in changed:  # other scores of its rows are computed anew in other company: the same but for rounding
        if "policy" in name or "self" in name or "constant" in name:
            np.testing.assert_allclose(new[name], old[name], atol=1e-3)


def load_scores(content, folder):
    (folder / "scores.npz").write_bytes(content)
    return dict(np.load(folder / "scores.npz"))


class Killed(BaseException):
    """Stands in for a kill where what is on disk matters, and not how the process ended."""


class Ending(Silent):
    """Ends the evaluation inside a stage: when it has told `reports` times how far it is, at the latest with its last work."""

    def __init__(self, stage, reports):
        self.ending, self.left = stage, reports

    @contextlib.contextmanager
    def stage(self, name, unit="tokens"):
        def advance(done, total):
            if name == self.ending:
                self.left -= 1
                if self.left <= 0:
                    raise Killed

        yield advance
        if name == self.ending:
            raise Killed


def test_ended_in_every_stage_it_comes_to_the_same_results(evaluate, monkeypatch):
    whole, dice = evaluate("whole"), random.Random(2512)
    # The first visit to a stage ends at once; later ones after any part of what is left.
    moments = [*((stage, 1) for stage in STAGES), *((stage, dice.randint(1, 4)) for stage in ("respond", "score", "score"))]
    for moment in moments:
        with monkeypatch.context() as ending:
            ending.setattr(cli, "progress", lambda moment=moment: Ending(*moment))
            with pytest.raises(Killed):
                evaluate("ended")
    assert contents(evaluate("ended")) == contents(whole)


def test_killed_while_it_draws_and_while_it_scores_it_ends_with_the_same_results(evaluate, run, flags, tmp_path):
    whole = evaluate("whole")
    dice = random.Random(2512)
    for before in ("reason", "respond"):
        process = run.start("evaluate", *flags, f"--workdir={tmp_path / 'killed'}")
        while (line := process.stderr.readline()) and not line.startswith(before):
            pass
        assert line, f"ended before the stage behind {before} began"
        time.sleep(dice.uniform(0, 0.2))  # inside that stage for sure
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert contents(evaluate("killed")) == contents(whole)


def test_ready_replies_and_ready_reasoning(evaluate, tmp_path, few_records):
    records = [json.loads(line) for line in few_records.read_text().splitlines()]
    names = [record["sample_ID"] for record in records]
    (tmp_path / "replies.jsonl").write_text(
        "".join(json.dumps({"sample_ID": r["sample_ID"], "reply": r["agent_golden_response"]}) + "\n" for r in records)
    )
    block = "```\n[Core Features of the Golden Response]\n{}\n```"
    (tmp_path / "reasoning.jsonl").write_text(
        "".join(json.dumps({"sample_ID": n, "reasoning": block.format(f"about {n}")}) + "\n" for n in names)
    )
    work = evaluate("work", {"policy.replies": "replies.jsonl", "estimator.reasoning": "reasoning.jsonl"})
    found = load(work / "results.json")
    assert (found["policy"]["model"], found["fingerprints"]["policy"]) == (None, None)
    for category in found["estimates"]["categories"].values():
        assert category["self"]["self_information"] is None
        assert category["self"]["reason"]
        assert category["reasoned"]["emi"]["club"]["token_rate"]["value"] == 0  # golden replies as the policy's


def test_a_thinking_policy_has_no_self_information_and_says_nothing_without_its_tags(evaluate):
    work = evaluate("work", {"policy.thinking": "tags"})
    found, table = load(work / "results.json"), np.load(work / "scores.npz")
    for name, category in found["estimates"]["categories"].items():
        assert category["self"]["self_information"] is None
        assert category["self"]["reason"] == "no samples scored under the policy's own kernel"
        assert found["categories"][name]["replies"]["empty"] == 3  # a random model writes no tags
        assert table[f"{name}/tokens/policy"].tolist() == [1, 1, 1]  # what is scored is an end at once
    assert "empty replies: 3/3 in every category" in found["warnings"]


def test_pmap_and_mesh_agree(evaluate):
    mesh, pmap = (dict(np.load(evaluate(of, {"devices.parallel": of}) / "scores.npz")) for of in ("mesh", "pmap"))
    for name, array in mesh.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(pmap[name], array, atol=1e-4 * 120)
        else:
            assert np.array_equal(pmap[name], array)


def test_over_long_records_are_counted_listed_and_left_out(evaluate, tmp_path, few_records):
    records = [json.loads(line) for line in few_records.read_text().splitlines()]
    records[0]["user_persona"] = "very " * 700
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = load(evaluate("work", {"benchmark.source": "long.jsonl", "policy.self_samples": 0}) / "results.json")
    [left_out] = found["categories"]["IDTest"]["excluded"]
    assert left_out["record"] == records[0]["sample_ID"]
    assert left_out["tokens"] > 640
    assert found["categories"]["IDTest"]["records"] == 2
    assert "over-long records excluded: IDTest 1" in found["warnings"]


def test_bounds_risk_and_attribution_of_a_run(evaluate, ending_directory):
    model = str(ending_directory)
    changes = {"estimator.model": model, "policy.model": model, "policy.max_reply": 40, "policy.self_samples": 4}
    work = evaluate("work", changes)
    found = load(work / "results.json")["estimates"]["bounds"]
    table = read_scores(work / "scores.npz")
    assert found == estimates(table, Settings(), Devices())["bounds"]  # the report's numbers are those of the stored table
    of_id = table.categories["IDTest"]
    for name in ("german", "WordLevelComposition"):
        category = table.categories[name]
        # golden replies of IDTest in the category's contexts, and the reverse, are scored as its own are
        blocks = (category.cross.of_id["plain"], category.cross.in_id["plain"], category.replies["golden"].loglik["plain"])
        assert all(block.shape == (3, 3) and np.all(block < 0) for block in blocks)
        for scorer in ("reasoned", "plain"):
            bounds = found["categories"][name]["bounds"][scorer]
            output = bounds["output"]["sum"]["value"]
            assert bounds["plug_in"]["bound"]["value"] == pytest.approx(bounds["plug_in"]["shift"]["value"] + output)
            assert bounds["unknown_shift"]["bound"]["value"] >= bounds["emid"]["value"] - 1e-9
            assert bounds["emid"]["value"] == pytest.approx(self_emid(of_id, category, scorer), abs=1e-6)
        assert set(found["categories"][name]["divergence"]["shapley"]) == {"user", "character", "dialogue"}
    assert found["risk"]["plain"]["balls"]["kl"]["risk"][0]["value"] > 0
    report = (work / "report.html").read_text()
    for place in ('id="shifts"', 'id="bounds"', 'id="risk"'):
        assert place in report


def self_emid(of_id, category, scorer):
    """Leave-one-out self EMI of IDTest minus the category's, over all samples, in plain loops."""
    total = 0.0
    for sign, of in ((1, of_id), (-1, category)):
        own, golden = of.self_scores.loglik, of.replies["golden"].loglik[scorer]
        n, gaps = len(golden), []
        for j in range(n):
            others = [i for i in range(n) if i != j]
            policy = np.mean(own[j, j] - logsumexp(own[others, j], axis=0) + np.log(n - 1))
            gaps.append(policy - (golden[j, j] - logsumexp(golden[others, j]) + np.log(n - 1)))
        total += sign * np.mean(gaps)
    return total
