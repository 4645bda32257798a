"""CoRL on a tiny chat model: who learns, who is frozen, whose rewards a phase gets; the controls by hand."""

import contextlib
import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.checkpoints import Checkpoints
from remid_jax.dialogues.parsing import MARKER, core_features
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.identity import identify
from remid_jax.learning.controls import control_features, controls_of, copied, golden_likelihoods
from remid_jax.learning.corl import KINDS, CoRL, Settings, taught
from remid_jax.learning.journal import Journal
from remid_jax.learning.loop import Stopped, run
from remid_jax.learning.optimizers import adamw
from remid_jax.learning.settings import PolicyLoss
from remid_jax.models.config import LoRAConfig
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store

RUN = identify({}, {}, {})
PROMPTS, MODEL = Prompts.load(), tiny_chat_model()
ENCODE, END = MODEL.tokenizer.encode, MODEL.tokenizer.end_of_turn_id
RECORDS = [
    Record(f"{n}", f"{name}, a baker.", {"name": name * 2}, (Turn("user", f"Why, {name}?"),), f"Because of {name}.", "IDTrain")
    for n, name in enumerate(["Ana", "Bo", "Cy", "Di"])
]
TEACHER = {record.id: f"```\n{MARKER}\n- tell {record.user_persona}\n```" for record in RECORDS}
ITERATION = (("reasoner_grpo", 1), ("responder_refit", 1), ("responder_grpo", 1))
SCHEDULE = (("cold_reasoner", 1), ("cold_responder", 1), *ITERATION, *ITERATION)


def settings(schedule=SCHEDULE):
    optimizer = functools.partial(adamw, 0.05, warmup=0.0, schedule="constant", clip=1.0, weight_decay=0.0)
    rewards = {
        "reasoner": ({"likelihood": 1.0, "length": 0.1}, {"length": {"enough": 20}}),
        "responder": ({"judge_ratio": 1.0}, {}),
    }
    return Settings(
        schedule, LoRAConfig(2, 4.0), {"sft": optimizer, "grpo": optimizer}, batch=2, prompts=2, draws=3, max_reasoning=6,
        max_reply=5, rewards=rewards, loss=PolicyLoss(), tokens_per_step=1024, max_row=512, sampling_rows=8, seed=0,
    )  # fmt: skip


def golden_likelihood(responder, record, features):
    messages, opening = PROMPTS.responder(record, features)
    prefix = MODEL.tokenizer.encode_chat(messages) + ENCODE(opening)
    return plain_logprobs(responder, prefix, (*ENCODE(record.golden), END)).mean()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(CoRL, what each phase began with, rows of metrics, rollouts, the trained learners)."""
    folder = tmp_path_factory.mktemp("corl")
    corl = CoRL(MODEL, RECORDS, TEACHER, PROMPTS, settings(), Devices(), Store(folder / "store.sqlite"))
    began = []

    def watched(phase):
        def begin(models):
            recipe = phase.begin(models)
            began.append((phase, models, recipe))
            return recipe

        return dataclasses.replace(phase, begin=begin)

    phases = [watched(phase) for phase in corl.phases()]
    trained = run(phases, Checkpoints(folder / "checkpoints"), lambda at: Journal(folder, at), RUN, 100, show_every=1)
    metrics, rollouts = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()] for name in ("metrics.jsonl", "rollouts.jsonl")
    )
    return corl, began, metrics, rollouts, trained


def bytes_of(model):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model.added)]


def test_phases_come_as_scheduled(ran):
    _, began, metrics, _, _ = ran
    found = [(row["phase"], row["iteration"], row["reasoner_updates"], row["responder_updates"]) for row in metrics]
    assert found == [
        ("cold_reasoner", 0, 1, 0), ("cold_responder", 0, 1, 1),
        ("reasoner_grpo", 1, 2, 1), ("responder_refit", 1, 2, 2), ("responder_grpo", 1, 2, 3),
        ("reasoner_grpo", 2, 3, 3), ("responder_refit", 2, 3, 4), ("responder_grpo", 2, 3, 5),
    ]  # fmt: skip
    assert [phase.learner for phase, _, _ in began] == [KINDS[kind][0] for kind, _ in SCHEDULE]


def test_a_phase_changes_its_learner_and_not_one_byte_of_the_other(ran):
    _, began, _, _, trained = ran
    after = [models for _, models, _ in began[1:]] + [trained]
    for (phase, before, _), later in zip(began, after, strict=True):
        frozen = "responder" if phase.learner == "reasoner" else "reasoner"
        assert bytes_of(before[frozen]) == bytes_of(later[frozen])
        assert before[frozen].fingerprint == later[frozen].fingerprint
        assert bytes_of(before[phase.learner]) != bytes_of(later[phase.learner])
        assert before[phase.learner].fingerprint != later[phase.learner].fingerprint


def test_the_second_iterations_rewards_are_the_updated_responders(ran):
    _, began, _, rollouts, _ = ran
    responders = [models["responder"] for phase, models, _ in began if phase.name == "reasoner_grpo"]
    assert responders[0].fingerprint != responders[1].fingerprint
    opening = PROMPTS.reasoner(RECORDS[0])[1]
    records = {record.id: record for record in RECORDS}
    for step, responder, other in ((2, *responders), (5, *reversed(responders))):
        rows = [row for row in rollouts if row["step"] == step]
        assert len(rows) == 6
        for row in rows:
            assert row["text"].startswith(opening)
            asked = (records[row["record"]], core_features(row["text"]).text or None)
            expected = np.exp(golden_likelihood(responder, *asked))
            assert row["reward/likelihood"] == pytest.approx(expected, rel=2e-4)
            assert abs(row["reward/likelihood"] / np.exp(golden_likelihood(other, *asked)) - 1) > 1e-3


def test_the_refit_learns_golden_replies_under_the_reasoners_own_features(ran):
    corl, began, metrics, _, _ = ran
    at = [n for n, (phase, _, _) in enumerate(began) if phase.name == "responder_refit"][1]
    _, models, recipe = began[at]
    features = corl.features(models["reasoner"], RECORDS)
    for record, example in zip(RECORDS, recipe.examples, strict=True):
        messages, opening = PROMPTS.responder(record, features[record.id] or None)
        assert list(example.prefix) == MODEL.tokenizer.encode_chat(messages) + ENCODE(opening)
        assert example.answer == (*ENCODE(record.golden), END)
    [first] = [row for row in metrics if row["step"] == at]
    batch = [example for example in recipe.examples if example.name in batch_of(corl, at)]
    logprobs = np.concatenate([plain_logprobs(models["responder"], of.prefix, of.answer) for of in batch])
    assert first["loss"] == pytest.approx(-logprobs.mean(), rel=1e-4)


def batch_of(corl, number):
    """The records of the first step of a phase."""
    return {RECORDS[n].id for n in next(corl.phases()[number].feed)}


def test_a_penalty_is_of_the_distance_from_where_the_phase_began_also_after_a_stop_within_it(tmp_path):
    loss = PolicyLoss(penalty="k2", penalty_weight=0.5)
    penalised = dataclasses.replace(settings((("cold_reasoner", 1), ("reasoner_grpo", 3))), loss=loss)

    def ran(folder, stops=()):
        """(learners and lessons of every beginning, metrics, rollouts), of a run stopped after the steps `stops`."""
        began = []

        def watched(phase):
            def begin(models):
                recipe, lessons = phase.begin(models), []
                began.append((models, lessons))
                return lambda *of: lessons.append(recipe(*of)) or lessons[-1]

            return dataclasses.replace(phase, begin=begin)

        for stop in (*stops, None):
            corl = CoRL(MODEL, RECORDS, TEACHER, PROMPTS, penalised, Devices(), Store(":memory:"))
            cold, relative = corl.phases()
            done = []
            with pytest.raises(Stopped) if stop else contextlib.nullcontext():
                run(
                    [cold, watched(relative)], Checkpoints(folder / "checkpoints"), lambda at: Journal(folder, at), RUN, 100,
                    1, lambda stop=stop, done=done: done[-1] == stop, lambda n, *_, done=done: done.append(n),
                )  # fmt: skip
        return began, *((folder / name).read_text() for name in ("metrics.jsonl", "rollouts.jsonl"))

    [(models, lessons)], *tables = ran(tmp_path / "whole")
    resumed, *again = ran(tmp_path / "resumed", stops=(1, 2))
    assert again == tables
    assert [len(of) for _, of in resumed] == [1, 2]
    for others, _ in resumed:
        assert bytes_of(others["reasoner"]) == bytes_of(models["reasoner"])
        assert others["reasoner"].fingerprint == models["reasoner"].fingerprint

    far = []
    for lesson in lessons:
        for request, references, sampled in zip(
            lesson.requests, lesson.columns["reference"], lesson.columns["sampled"], strict=True
        ):
            for completion, reference, drawn in zip(request.continuations, references, sampled, strict=True):
                expected = plain_logprobs(models["reasoner"], request.prefix, completion.ids)
                np.testing.assert_allclose(reference, expected, atol=2e-4)
                far.append(np.abs(reference - drawn).max())
    assert max(far[:6]) < 1e-4 < 1e-2 < max(far[-6:])  # at first the learner is its own reference


def test_what_is_kept_of_a_learner_is_of_its_matrices_and_not_of_its_step():
    """Runs of one workdir whose learning rates or records differ name their learners alike."""

    def learners(scale):
        corl = CoRL(MODEL, RECORDS, TEACHER, PROMPTS, settings(), Devices(), Store(":memory:"))
        changed = {name: jax.tree.map(lambda a: a + scale, learner.added) for name, learner in corl.learners.items()}
        named = {name: dataclasses.replace(corl.learners[name], added=changed[name], fingerprint=name) for name in changed}
        return corl, named

    def controlled(corl, named):
        return corl.features(named["reasoner"], RECORDS), controls_of(corl, named, RECORDS, "pair", Silent())["records"]

    shared, first = learners(0.3)
    _, second = learners(-0.3)
    alone = controlled(*learners(-0.3))
    assert controlled(shared, first) != alone
    assert controlled(shared, second) == alone


def test_what_a_teacher_wrote_is_taught_after_the_opening():
    opening = PROMPTS.reasoner(RECORDS[0])[1]
    assert taught(opening + "- dry\n```", opening) == "- dry\n```"
    assert taught(f"He is dry.\n```\n{MARKER}\n- dry\n```", opening) == "- dry\n```"
    assert taught("He is dry.", "") == "He is dry."


def test_controls_of_the_reasoning():
    features = {record.id: f"- {record.id}" for record in RECORDS}
    controls = control_features(RECORDS, features, {record.id: f"taught {record.id}" for record in RECORDS}, seed=3)
    assert controls["own"] == ["- 0", "- 1", "- 2", "- 3"]
    assert sorted(controls["shuffled"]) == controls["own"]
    assert all(a != b for a, b in zip(controls["own"], controls["shuffled"], strict=True))
    found = golden_likelihoods(ScoringEngine(MODEL, Devices(), Store(":memory:"), 1024, 512), PROMPTS, RECORDS, controls)
    for n, record in enumerate(RECORDS):
        expected = {"own": f"- {n}", "empty": None, "shuffled": controls["shuffled"][n], "teacher": f"taught {n}"}
        expected["leaking"] = record.golden
        for name, text in expected.items():
            assert found[name][n] == pytest.approx(golden_likelihood(MODEL, record, text), abs=1e-4)
    assert copied("a b c d e", "x a b c d y") == 1 / 2
    assert copied("a b c", "a b c") == 0


@pytest.mark.parametrize("schedule", [(), (("warm_up", 3),), (("cold_reasoner", 0),)])
def test_a_schedule_that_means_nothing_is_refused(schedule):
    with pytest.raises(UserError, match=r"config.schedule: .*reasoner_grpo"):
        settings(schedule)
