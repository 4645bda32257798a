"""`experiments.corl` on a tiny chat model whose replies end: folds, what is written, going on after a stop, what is refused."""

import importlib
import itertools
import json

import numpy as np
import pytest
from faulty_server import FaultyServer
from scripts import change, stop

from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.learning.estimator_training import teaching
from remid_jax.learning.inputs import open_inputs
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
    "batch": 2, "draws": 2, "max_reasoning": 4, "max_reply": 4, "devices.tokens_per_step": 1024, "devices.sampling_rows": 2,
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


def saved_steps(folder):
    return len(lines(folder / "metrics.jsonl")) if (folder / "metrics.jsonl").is_file() else 0


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

    stop(monkeypatch, script, (saved_steps(whole.parent / "stopped" / "fold1") == 1 for _ in itertools.count()))
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


def test_in_sample_is_one_pair_of_everything_and_says_so(drawn_figures, corl, ending_directory):
    base = open_model(str(ending_directory), "float32")
    folder = corl(protocol="in_sample", schedule=(("plain_responder", 1),))
    pairs = read_pairs(folder / "estimator", base)
    assert pairs.protocol == "in_sample"
    [pair] = pairs.pairs
    assert pair.seen == {of.lineage for of in RECORDS}
    assert json.loads((folder / "controls.json").read_text()) == {}


def test_a_local_teacher_sees_the_golden_reply(ending_directory, tmp_path):
    config = importlib.import_module("configs.corl_quickstart").get_config()
    config.model, config.teacher.reasoning, config.teacher.max_reasoning = str(ending_directory), None, 5
    inputs = open_inputs(config, tmp_path)
    base, prompts = inputs.base, inputs.prompts
    found = teaching(config, inputs, RECORDS[:3], tmp_path, Silent())
    generator = Generator(base, Devices(), Store(":memory:"), 1)
    for record in RECORDS[:3]:
        messages, opening = prompts.teacher(record)
        assert record.golden in messages[1]["content"]
        ids = base.tokenizer.encode_chat(messages) + base.tokenizer.encode(opening)
        [[sample]] = generator.generate([Prompt(ids)], Sampler(5, base.end_ids))
        assert found[record.id] == opening + base.tokenizer.decode(sample.ids)


def answer_of_a_teacher(content):
    """The core features of the record in a prompt; of Cy none."""
    name = next(of.lineage for of in RECORDS if of.golden in content)
    return "I cannot say." if name == "Cy" else f"It is {name}.\n```\n[Core Features of the Golden Response]\n- {name}\n```"


def test_a_teacher_behind_an_endpoint_is_paid_once_and_the_run_goes_by_whom_it_asked(corl, tmp_path, capsys):
    gone = []
    server = FaultyServer(lambda number, content: 404 if gone else gone.extend("x" * (server.paid.total() == 4)),
                          content_of=answer_of_a_teacher)  # fmt: skip
    path = tmp_path / "endpoints.json"

    def described(**changes):
        path.write_text(json.dumps({"it": {"base_url": server.base_url, "model": "m", "concurrency": 1} | changes}))

    described()
    asked = {
        "teacher.reasoning": None, "teacher.model": "endpoint:it", "endpoints": str(path), "date": "2026-01-31",
        "protocol": "in_sample", "schedule": (("cold_responder", 1),),
    }  # fmt: skip
    with pytest.raises(UserError, match="knows no model 'm' or is no such address"):
        corl(**asked)
    assert server.paid.total() == 5
    gone.clear()
    server.faults = lambda number, content: 500 if number == 0 and "Because Gil." in content else None
    folder = corl(**asked)
    said = capsys.readouterr().err
    assert "endpoint:it: 8 replies, 5 of them from the store, " in said  # equal records of two categories are one request
    assert "; tried again or given up: 1 x status 500" in said
    assert "1 of 12 records left out: endpoint:it gave no core features of them" in said
    assert len(server.paid) == server.paid.total() == 8
    [pair] = json.loads((folder / "estimator" / "manifest.json").read_text())["pairs"]
    assert pair["seen"] == sorted({of.lineage for of in RECORDS} - {"Cy"})
    saved = (folder / "all" / "times.jsonl").read_text()
    tries = server.tries.total()
    corl(**asked)
    described(concurrency=3)
    corl(**asked)
    assert server.tries.total() == tries
    assert (folder / "all" / "times.jsonl").read_text() == saved
    described(model="other")
    server.faults = lambda number, content: None
    with pytest.raises(UserError) as refusal:
        corl(**asked)
    assert str(refusal.value) == (
        "this workdir holds a run that differs in the content of teacher.model ('endpoint:it'): use the config it was begun "
        "with, or another workdir"
    )
    server.close()


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


def test_another_run_does_not_go_on_from_this_one_but_the_same_elsewhere_does(corl, teacher):
    plain = {"schedule": (("plain_responder", 1),), "date": "2026-01-31"}
    folder = corl(**plain)
    before = [(folder / name / "times.jsonl").read_text() for name in ("fold0", "fold1")]
    moved = folder.parent / "teacher.jsonl"
    moved.write_text(teacher.read_text())
    folder.rename(folder.parent / "moved")
    elsewhere = {"save_every": 9, "show_every": 3, "devices.max_row": 1024, "teacher.reasoning": str(moved)}
    corl("moved", **plain | elsewhere)
    assert [(folder.parent / "moved" / name / "times.jsonl").read_text() for name in ("fold0", "fold1")] == before

    with pytest.raises(UserError, match=r"differs in schedule \(.*1.* -> .*2.*\): use"):
        corl("moved", **plain | elsewhere | {"schedule": (("plain_responder", 2),)})
    moved.write_text(teacher.read_text().replace("- Ana", "- Anna"))
    with pytest.raises(UserError) as refusal:
        corl("moved", **plain | elsewhere)
    assert str(refusal.value) == (
        f"this workdir holds a run that differs in teacher.reasoning ({str(teacher)!r} -> {str(moved)!r}): "
        "use the config it was begun with, or another workdir"
    )
    (folder.parent / "moved" / "fold0").rename(folder.parent / "moved" / "fold")
    (folder.parent / "moved" / "fold1").rename(folder.parent / "moved" / "fold0")
    moved.write_text(teacher.read_text())
    with pytest.raises(UserError, match=r"this workdir holds a run that differs in fold \('fold1' -> 'fold0'\): use"):
        corl("moved", **plain | elsewhere)
