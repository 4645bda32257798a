"""`experiments.corl` on a tiny chat model whose replies end: folds, what is written, going on after a stop, what is refused."""

import importlib
import json

import numpy as np
import pytest
from scripts import change, stop

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.roles.pairs import read_pairs, scored_by
from remid_jax.scoring.generation import Generator, Prompt
from remid_jax.scoring.store import Store

RECORDS = [
    Record(f"{category} {name}", f"{name}, a baker.", {"name": name * 2}, (Turn("user", f"Why, {name}?"),), f"Because {name}.",
           category, lineage=name)
    for category, names in (("IDTrain", "Ana Bo Cy Di"), ("IDTest", "Ed Flo Gil Hal"), ("german", "Ed Flo Gil Hal"))
    for name in names.split()
]  # fmt: skip
PHASES = ("cold_reasoner", "cold_responder", "reasoner_grpo", "responder_refit", "responder_grpo")
SMALL = {
    "schedule": tuple((phase, 1) for phase in PHASES),
    "batch": 2, "draws": 2, "max_reasoning": 4, "max_reply": 4, "devices.tokens_per_step": 1024, "devices.sampling_rows": 6,
    "lora.rank": 2, "save_every": 1, "show_every": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    write_jsonl(path, RECORDS)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.jsonl"
    rows = [
        {"sample_ID": of.id, "reasoning": f"```\n[Core Features of the Golden Response]\n- {of.lineage}\n```"} for of in RECORDS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def script(monkeypatch):
    return importlib.import_module("experiments.corl")


@pytest.fixture
def corl(script, source, teacher, ending_directory, tmp_path):
    def corl(workdir="run", **changes):
        config = importlib.import_module("configs.corl_quickstart").get_config()
        given = {"model": str(ending_directory), "benchmark.source": str(source), "teacher.reasoning": str(teacher)}
        change(config, SMALL | given | changes)
        folder = tmp_path / workdir
        folder.mkdir(exist_ok=True)
        script.main(config, folder)
        return folder

    return corl


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_folds_each_blind_to_what_it_is_to_score_and_a_stop_changes_nothing(corl, script, ending_directory, monkeypatch):
    whole = corl("whole")
    base = open_model(str(ending_directory), "float32")
    pairs = read_pairs(whole / "estimator", base)
    first, second = (pair.seen for pair in pairs.pairs)
    assert first | second == {of.lineage for of in RECORDS}
    assert not first & second
    assert len(first & {"Ed", "Flo", "Gil", "Hal"}) == 2  # even in every category
    scored = scored_by(pairs, RECORDS)
    controls = json.loads((whole / "controls.json").read_text())
    for name, seen in (("fold0", first), ("fold1", second)):
        trained_on = {row["record"] for row in lines(whole / name / "rollouts.jsonl")}
        assert {of.lineage for of in RECORDS if of.id in trained_on} <= seen
        rows = controls[name]["records"]
        assert {row["sample_ID"] for row in rows} == scored[name]
        for control in ("own", "empty", "shuffled", "teacher", "leaking"):
            assert controls[name]["means"][control] == pytest.approx(np.mean([row[control] for row in rows]))
        assert (whole / name / "training.html").is_file()
    assert pairs.protocol == "cross_fitted"

    answers = iter([False] * 6 + [True] + [False] * 100)  # all of the first fold, and two steps of the second
    stop(monkeypatch, script, answers)
    with pytest.raises(SystemExit, match=r"stopped after step 2 of .* of fold1, saved: run the same command again"):
        corl("stopped")
    stopped = whole.parent / "stopped"
    assert not (stopped / "estimator").exists()
    assert len(lines(stopped / "fold1" / "metrics.jsonl")) == 2
    corl("stopped")
    assert read_pairs(stopped / "estimator", base).fingerprint == pairs.fingerprint
    for name in ("fold0", "fold1"):
        for file in ("metrics.jsonl", "rollouts.jsonl"):
            assert lines(stopped / name / file) == lines(whole / name / file)


def test_in_sample_is_one_pair_of_everything_and_says_so(corl, ending_directory):
    base = open_model(str(ending_directory), "float32")
    folder = corl(protocol="in_sample", schedule=(("plain_responder", 1),))
    pairs = read_pairs(folder / "estimator", base)
    assert pairs.protocol == "in_sample"
    [pair] = pairs.pairs
    assert pair.seen == {of.lineage for of in RECORDS}
    assert json.loads((folder / "controls.json").read_text()) == {}


def test_a_local_teacher_sees_the_golden_reply(script, ending_directory, tmp_path, monkeypatch):
    base, prompts = open_model(str(ending_directory), "float32"), Prompts.load()
    config = importlib.import_module("configs.corl_quickstart").get_config()
    config.teacher.reasoning, config.teacher.max_reasoning = None, 5
    stages = Silent()
    reading = script.reading_of(config, tmp_path)
    found = script.teaching(config, base, reading, Devices(), prompts, RECORDS[:3], tmp_path, stages)
    generator = Generator(base, Devices(), Store(":memory:"), 1)
    for record in RECORDS[:3]:
        messages, opening = prompts.teacher(record)
        assert record.golden in messages[1]["content"]
        ids = base.tokenizer.encode_chat(messages) + base.tokenizer.encode(opening)
        [[sample]] = generator.generate([Prompt(ids)], Sampler(5, base.end_ids))
        assert found[record.id] == opening + base.tokenizer.decode(sample.ids)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"protocol": "blind"}, r"config.protocol='blind': choose one of cross_fitted, in_sample"),
        ({"max_prompt": 20}, r"none of 12 records fits config.max_prompt=20 \(the shortest has \d+ tokens\)"),
        ({"batch": 7}, r"fold0 has 6 records, fewer than a step takes \(7\)"),
        ({"lora.targets": ("query", "nose")}, "targets nose do not exist"),
        ({"schedule": (("cold_feet", 1),)}, "config.schedule: cold_feet"),
        ({"loss.aggregation": "sum"}, "aggregation='sum'"),
    ],
)
def test_what_cannot_be_is_refused(corl, changes, says):
    with pytest.raises(UserError, match=says):
        corl(**changes)


def test_another_config_does_not_go_on_from_this_run(corl):
    corl(schedule=(("plain_responder", 1),))
    with pytest.raises(UserError, match=r"differs in schedule \(.*1.* -> .*2.*\): use"):
        corl(schedule=(("plain_responder", 2),))
