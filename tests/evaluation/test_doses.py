"""Rungs against the scores of their own texts; where other languages come from; what is refused."""

import datetime
import json

import numpy as np
import pytest
from scripts import change

from configs import doses as config
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError
from remid_jax.evaluation import doses, stages
from remid_jax.progress import Silent, Timed
from remid_jax.roles.degraded import RUNGS, degraded_records
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply

READING = {"control_tokens": "text", "date": datetime.date(2026, 11, 28)}
SMALL = {
    "estimator.dtype": "float32", "estimator.max_reasoning": 2, "horizon": 16, "devices.tokens_per_step": 1024,
    "devices.sampling_rows": 4, "benchmark.categories": ("IDTest", "german"),
    "benchmark.source": "package:rpgbench_compact/eight",
}  # fmt: skip


def settings(directory, **changes):
    of = config.get_config()
    change(of, SMALL | {"estimator.model": str(directory)} | changes)
    return of


@pytest.fixture(scope="module")
def run(tiny_directory):
    three = settings(tiny_directory, **{"benchmark.records": 4})
    return doses.opened(three, Store(":memory:"), READING, Timed(Silent()))


def texts(run, rung, sets, name):
    """What a rung says to each record of a category, worked out plainly."""
    members = run.records[name]
    told = degraded_records(members, rung.share, run.config.seed)
    half = len(members) // 2
    others = [Reply(members[(k - half) % len(members)].golden) for k in range(len(members))]
    said = others if rung.said == "golden_other" else sets[name][rung.said]
    return [said[k] if told[k] else Reply(members[k].golden) for k in range(len(members))]


def test_a_rung_is_scored_as_a_policy_that_says_its_texts(run):
    sets, left_out = doses.sets_of(run)
    assert "other_language" in left_out or len(left_out) == 0
    rungs = [
        rung for rung in RUNGS if rung.name in ("misplaced 50%", "misplaced 100%", "parrot 50%", "reciter 100%", "deleted 50%")
    ]
    written = stages.reason(run)
    arrays = stages.ask(run, written, sets, None)
    plain = {
        name: {"golden": sets[name]["golden"]} | {r.name: texts(run, r, sets, name) for r in rungs} for name in run.records
    }
    expected = stages.ask(run, written, plain, None)
    for rung in rungs:
        table = doses.table_of(arrays, run, rung)
        for name, category in table.categories.items():
            policy = category.replies["policy"]
            for stem, found in (
                ("tokens", policy.tokens), ("chars", policy.chars), ("tokens_by_source", policy.by_source.tokens),
                ("loglik/reasoned", policy.loglik["reasoned"]), ("marginal/reasoned", policy.marginal["reasoned"]),
                ("loglik_by_source/reasoned", policy.by_source.loglik["reasoned"]),
                ("marginal_by_source/reasoned", policy.by_source.marginal["reasoned"]),
            ):  # fmt: skip
                np.testing.assert_allclose(found, expected[f"{name}/{stem}/{rung.name}"], atol=2e-3, rtol=1e-6, err_msg=stem)
    assert table.references == {"german": "IDTest"}
    assert table.horizon == 16


def test_the_same_lineage_in_another_language():
    benchmark = read_benchmark("package:rpgbench_compact/eight", categories=("IDTest", "german", "Literature"))
    by_lineage = {name: {r.lineage: r.golden for r in members} for name, members in benchmark.test.items()}
    assert doses.in_another_language(benchmark, "IDTest") == by_lineage["german"]
    assert doses.in_another_language(benchmark, "Literature") == by_lineage["german"]
    assert doses.in_another_language(benchmark, "german") == by_lineage["IDTest"]  # the first of two


def test_records_without_golden_replies_are_refused(tiny_directory, tmp_path):
    records = read_benchmark("package:rpgbench_compact/eight", categories=("IDTest",)).test["IDTest"]
    rows = [{**record.to_json(), "agent_golden_response": ""} for record in records]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"benchmark.source": str(tmp_path / "r.jsonl"), "benchmark.categories": (), "benchmark.golden_optional": True}
    with pytest.raises(UserError) as error:
        doses.opened(settings(tiny_directory, **changes), Store(":memory:"), READING, Timed(Silent()))
    assert str(error.value) == f"{tmp_path / 'r.jsonl'}: IDTest: no golden replies, of which all doses are made"
