"""An evaluation with trained pairs: whose scores stand in the table, what is refused, what is named."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from scripts import load

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.evaluation.score_files import read_scores
from remid_jax.models.adapters import adapted, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices
from remid_jax.roles.pairs import Pair, read_pairs, save_pairs
from remid_jax.roles.reasoner import reason
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids

CATEGORIES = ("IDTest", "german")
SEEN = {"first": {"id-test-1", "id-test-3"}, "second": {"id-test-2", "id-test-4"}}
SAVED = {name: {"id-test-9"} for name in SEEN}  # lineages that are not in the benchmark


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    benchmark = read_benchmark("package:rpgbench_compact")
    path = tmp_path_factory.mktemp("records") / "four.jsonl"
    write_jsonl(path, [record for name in CATEGORIES for record in benchmark.test[name][:4]])
    return path


@pytest.fixture(scope="module")
def base(tiny_directory):
    return open_model(str(tiny_directory), "float32")


@pytest.fixture
def save(base, tmp_path):
    def adapter(seed):
        made, rng = fresh(base.config, LoRAConfig(2, 4.0, ("query", "value", "up")), seed), np.random.default_rng(seed)
        moved = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.3, a.shape), a.dtype), made.params)
        return dataclasses.replace(made, params=moved)

    def save(seen, protocol="cross_fitted"):
        pairs = [Pair(name, adapter(2 * n), adapter(2 * n + 1), frozenset(of)) for n, (name, of) in enumerate(seen.items())]
        save_pairs(tmp_path / "pairs", pairs, base, {"protocol": protocol})
        return read_pairs(tmp_path / "pairs", base)

    return save


@pytest.fixture
def settings(records, tiny_directory):
    return {
        "benchmark.source": str(records), "estimator.model": str(tiny_directory), "policy.model": str(tiny_directory),
        "estimator.max_reasoning": 12, "estimator.fallback": "whole_text", "policy.max_reply": 12, "policy.self_samples": 0,
        "devices.sampling_rows": 2, "devices.tokens_per_step": 1024, "estimator.adapters": "pairs",
        "estimator.plain": "", "estimator.dtype": "float32", "policy.dtype": "float32", "first_look": False,
    }  # fmt: skip


@pytest.fixture
def evaluate(call, settings):
    return lambda **changes: call("evaluate", settings | changes, config="quickstart")


@pytest.fixture
def error(refused, settings):
    return lambda: refused("evaluate", settings, config="quickstart")


def found(folder):
    samples = pq.read_table(folder / "samples.parquet").to_pylist()
    return load(folder / "results.json"), read_scores(folder / "scores.npz"), samples


def scored_alone(base, pair, rows, features, side):
    """log q(y_j | x_i, r_i) by one pair's responder, nats, rows of `samples.parquet` and the features of each."""
    benchmark = {r.id: r for of in read_benchmark("package:rpgbench_compact").test.values() for r in of}
    prompts, tokenizer = Prompts.load(), base.tokenizer
    replies = [Reply(row["golden"]) if side == "golden" else Reply(row["reply"], row["reply_finished"]) for row in rows]
    answers = [Continuation(answer_ids(tokenizer, reply)[:12]) for reply in replies]  # that of `max_reply`
    requests = [
        Request(responder_ids(tokenizer, prompts, benchmark[row["record"]], text), answers)
        for row, text in zip(rows, features, strict=True)
    ]
    engine = ScoringEngine(adapted(base, pair.responder), Devices(), Store(":memory:"), 1024, 2048)
    return np.array([[scores.sum(dtype="float64") for scores in row] for row in engine.score(requests)])


def test_each_pair_reasons_and_scores_what_it_has_not_seen(save, evaluate, base, tmp_path, records):
    pairs = save(SEEN)
    results, table, samples = found(evaluate())
    benchmark = read_benchmark(records)
    for category in CATEGORIES:
        lineage = table.categories[category].lineage
        for pair in pairs.pairs:
            mine = [i for i, of in enumerate(lineage.tolist()) if of not in pair.seen]
            assert len(mine) == 2
            rows = [[row for row in samples if row["category"] == category][i] for i in mine]
            generator = Generator(adapted(base, pair.reasoner), Devices(), Store(":memory:"), 4)
            of = [benchmark.test[category][i] for i in mine]
            alone = reason(of, Prompts.load(), generator, 12, "whole_text", lambda done, total: None)
            assert [row["reasoning"] for row in rows] == [alone[row["record"]].text for row in rows]
            for side in ("golden", "policy"):
                replies = table.categories[category].replies[side]
                for scorer in ("reasoned", "plain"):
                    features = [row["reasoning"] if scorer == "reasoned" else None for row in rows]
                    expected = scored_alone(base, pair, rows, features, side)
                    np.testing.assert_allclose(replies.loglik[scorer][np.ix_(mine, mine)], expected, atol=1e-2, rtol=0)
        for scorer in ("reasoned", "plain"):
            loglik = table.categories[category].replies["golden"].loglik[scorer]
            by_second = np.isin(lineage, sorted(SEEN["first"]))
            np.testing.assert_array_equal(np.isnan(loglik), by_second[:, None] != by_second)
    adapters = results["estimator"]["adapters"]
    assert (adapters["protocol"], adapters["fingerprint"]) == ("cross_fitted", pairs.fingerprint)
    assert [(pair["name"], pair["seen"], pair["records"]) for pair in adapters["pairs"]] == [("first", 2, 4), ("second", 2, 4)]
    assert results["estimates"]["n"] == 2
    assert results["estimates"]["categories"]["german"]["reasoned"]["emid"]["club"]["token_rate"]["value"] is not None
    report = (tmp_path / "work" / "report.html").read_text()
    assert "trained adapters" in report
    assert "cross-fitted: first (4 records), second (4 records)" in report


def test_of_new_records_the_mean_of_all_pairs_counts_and_ready_reasoning_leaves_out_the_reasoners(
    save, evaluate, base, tmp_path, records
):
    pairs = save(SAVED)
    names = [json.loads(line)["sample_ID"] for line in records.read_text().splitlines()]
    block = "```\n[Core Features of the Golden Response]\nspeaks of {}\n```"
    lines = [json.dumps({"sample_ID": name, "reasoning": block.format(name)}) + "\n" for name in names]
    (tmp_path / "reasoning.jsonl").write_text("".join(lines))
    results, table, samples = found(evaluate(**{"estimator.reasoning": "reasoning.jsonl"}))
    values = []
    for pair in pairs.pairs:
        rows = [row for row in samples if row["category"] == "german"]
        expected = scored_alone(base, pair, rows, [f"speaks of {row['record']}" for row in rows], "golden")
        values.append(expected)
    golden = table.categories["german"].replies["golden"]
    np.testing.assert_allclose(golden.loglik["reasoned"], np.mean(values, axis=0), atol=1e-2, rtol=0)
    assert np.abs(values[0] - values[1]).max() > 1
    clubs = [np.trace(of) / 4 - (of.sum() - np.trace(of)) / 12 for of in values]
    club = results["estimates"]["categories"]["german"]["reasoned"]["golden"]["club"]["response"]["value"]
    assert club == pytest.approx(np.mean(clubs), abs=2e-2)
    assert table.categories["german"].fold is None
    assert [pair["records"] for pair in results["estimator"]["adapters"]["pairs"]] == [8, 8]
    assert list(load(tmp_path / "work" / "run.json")["sampling"]) == [base.source]  # the policy alone


def test_an_overlap_is_refused_before_anything_is_computed(save, error, tmp_path):
    save({"first": {"id-test-1", "id-test-2"}, "second": {"id-test-2", "id-test-4"}})
    message = error()
    assert "every pair was trained on the lineage of" in message
    assert "(lineage id-test-2)" in message
    assert "id-test-1)" not in message
    assert not (tmp_path / "work" / "results.json").exists()


def test_in_sample_is_named_wherever_the_results_are_read(save, evaluate, tmp_path):
    save({"all": {"id-test-1", "id-test-2", "id-test-3", "id-test-4"}}, "in_sample")
    results, table, _ = found(evaluate())
    assert results["estimator"]["adapters"]["protocol"] == "in_sample"
    assert any("in_sample" in warning for warning in results["warnings"])
    assert table.categories["german"].fold is None
    assert "in-sample: all (8 records)" in (tmp_path / "work" / "report.html").read_text()


def test_a_folder_without_a_manifest_and_a_lonely_record_are_refused(save, error):
    assert "pairs/manifest.json: cannot be read" in error()
    save({"first": {"id-test-1"}, "second": {"id-test-2", "id-test-3", "id-test-4"}})
    assert "mutual information needs two" in error()
