"""The training loop: phases of steps, each from a recipe; everything that a resumed run needs is in its checkpoints.

A step is: the feed names records -> the recipe turns them into completions -> the trainer changes one learner -> the journal is
written -> a checkpoint is begun. Learners ("policy", or "reasoner" and "responder") keep their states side by side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from remid_jax.checkpoints import Checkpoints
from remid_jax.errors import UserError
from remid_jax.learning.feed import Feed
from remid_jax.learning.journal import Journal
from remid_jax.learning.trainer import Columns, Trainer, TrainState
from remid_jax.models.loading import LanguageModel
from remid_jax.scoring.requests import Request

States = dict[str, TrainState]
ANCHOR = "anchor"  # beside the learners in a checkpoint
CONTENTS = {
    "base": "the base model's content",
    "beginning": "the content of the adapter it begins from",
    "estimator": "the estimator's content",
    "prompts": "the content of the prompts",
    "data": "the records' content",
    "teacher": "the teacher's reasoning",
}
WORST = -1e30  # the score of a checkpoint saved for a step that failed


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a step learns from: the records it is about, completions, and what the objective needs besides.

    `metrics` are logged beside the trainer's; `score` of a checkpoint: higher is better, None for the loss with a minus;
    `rollouts` are rows for a table.
    """

    records: Sequence[str]
    requests: Sequence[Request]
    columns: Columns
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    score: float | None = None
    rollouts: Sequence[Mapping[str, Any]] = ()


class Recipe(Protocol):
    """Turns record numbers into a lesson for the learner as it stands."""

    def __call__(self, learner: LanguageModel, numbers: Sequence[int], step: int) -> Lesson: ...


@dataclasses.dataclass(frozen=True)
class Phase:
    """`steps` steps of one learner. `begin` makes the recipe from all learners as they stand when the phase begins; whoever is
    frozen stays so until it ends. The learner's moments start anew with each phase.

    A run that goes on inside a phase shows `begin` the learner itself as it stands by then, unless the phase is `anchored`: its
    recipe needs the learner as it was, so that is saved, too.
    """

    name: str
    learner: str
    trainer: Trainer
    feed: Feed
    steps: int
    begin: Callable[[Mapping[str, LanguageModel]], Recipe]
    iteration: int = 0
    anchored: bool = False


class Stopped(Exception):
    """The run was asked to stop; its state is saved. Holds the number of steps done."""

    def __init__(self, step: int):
        super().__init__(step)
        self.step = step


def run(
    phases: Sequence[Phase],
    checkpoints: Checkpoints,
    open_journal: Callable[[int], Journal],
    identity: Mapping[str, Any],
    save_every: int,
    show_every: int = 10,
    stopping: Callable[[], bool] = lambda: False,
    report: Callable[[int, int, Mapping[str, Any]], None] = lambda done, total, row: None,
) -> dict[str, LanguageModel]:
    """Runs all phases, from the last checkpoint if there is one, and returns the learners as models.

    `identity` is saved beside the state; a run that differs from it in any key does not go on from there, nor one of other
    `identity["settings"]` that a number depends on. `report` gets
    (steps done, steps in all, the step's row).

    Raises:
      Stopped: if `stopping()` said so after a step.
      UserError: if the checkpoints belong to another run, or a loss or gradient is not finite: the last good state is saved
        and the batch named.
    """
    total, saved = sum(phase.steps for phase in phases), checkpoints.latest
    done = saved or 0
    trainers = _trainers(phases, done)
    states: States = {name: trainer.start() for name, trainer in trainers.items()}
    anchor: nnx.State | None = None  # the parameters with which the learner of an anchored phase began it
    if saved is not None:
        beside = checkpoints.beside(saved)
        _check_identity(identity, beside["identity"])
        shardings = {name: trainers[name].shardings(state) for name, state in states.items()}
        anchored = _anchored(phases, done)
        shapes = _with_anchor(states, states[anchored].trainable if anchored else None)
        restored = checkpoints.restore(
            saved, shapes, _with_anchor(shardings, shardings[anchored].trainable if anchored else None)
        )
        anchor = restored.pop(ANCHOR, None)
        states = restored
        for phase, place in zip(phases, beside["places"], strict=True):
            phase.feed.place = place
    journal = open_journal(done)
    try:
        first = 0
        for phase in phases:
            last = first + phase.steps
            if done < last:
                if done == first:  # checkpoints between two phases are of the one that ended
                    states[phase.learner] = phase.trainer.renewed(states[phase.learner])
                    anchor = _copy(states[phase.learner].trainable) if phase.anchored else None
                recipe = phase.begin(_models(trainers, _as_begun(states, phase.learner, anchor, done - first)))
            while done < last:
                beside = {"identity": dict(identity), "places": [of.feed.place for of in phases]}
                began = time.monotonic()
                learner = phase.trainer.model_of(states[phase.learner])
                lesson = recipe(learner, next(phase.feed), done)
                states[phase.learner], metrics = phase.trainer.step(states[phase.learner], lesson.requests, lesson.columns)
                if not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all():
                    if done != saved:
                        journal.flush()
                        checkpoints.save(done, _with_anchor(states, anchor if done > first else None), beside, WORST)
                    raise UserError(
                        f"step {done} ({phase.name}): the loss is {metrics['loss']}, its gradient's norm "
                        f"{metrics['gradient_norm']}, on records {', '.join(lesson.records)}: the state before it is saved; "
                        "lower the learning rate, or mend or leave out those records"
                    )
                place = {"phase": phase.name, "iteration": phase.iteration}
                place |= {f"{name}_updates": int(state.step) for name, state in states.items()}
                row = {**lesson.metrics, **metrics}
                journal.step(done, place, row, _times(lesson, time.monotonic() - began))
                if lesson.rollouts and done % show_every == 0:
                    journal.rollouts(done, lesson.rollouts)
                done += 1
                report(done, total, {**place, **row})
                asked = stopping()
                if asked or done % save_every == 0 or done == last:
                    journal.flush()
                    beside["places"] = [of.feed.place for of in phases]
                    score = -metrics["loss"] if lesson.score is None else lesson.score
                    checkpoints.save(done, _with_anchor(states, anchor), beside, score)
                    saved = done
                if asked and done < total:
                    raise Stopped(done)
            first = last
        return _models(trainers, states)
    finally:  # whatever happened, a save under way comes to its end
        with contextlib.closing(journal):
            checkpoints.close()


def _times(lesson: Lesson, seconds: float) -> dict[str, float]:
    tokens = sum(len(r.prefix) + sum(len(c.ids) for c in r.continuations) for r in lesson.requests)
    return {"seconds": seconds, "tokens_per_second": tokens / seconds}


def _trainers(phases: Sequence[Phase], done: int) -> dict[str, Trainer]:
    """For each learner the trainer that made its state after `done` steps: of its last phase begun by then, or of its first."""
    trainers: dict[str, Trainer] = {}
    first = 0
    for phase in phases:
        if first < done or phase.learner not in trainers:
            trainers[phase.learner] = phase.trainer
        first += phase.steps
    return trainers


def _models(trainers: Mapping[str, Trainer], states: States) -> dict[str, LanguageModel]:
    return {name: trainers[name].model_of(_copy(state)) for name, state in states.items()}


def _copy(tree: Any) -> Any:
    """A step gives its state's memory away, but whoever is frozen in a phase, or was handed a model, keeps a copy."""
    return jax.tree.map(lambda a: a.copy(), tree)


def _anchored(phases: Sequence[Phase], done: int) -> str | None:
    """The learner of the phase that step `done` ended in, if that phase is anchored."""
    first = 0
    for phase in phases:
        if first < done <= first + phase.steps:
            return phase.learner if phase.anchored else None
        first += phase.steps
    return None


def _with_anchor(states: Mapping[str, Any], anchor: Any) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {**states} if anchor is None else {**states, ANCHOR: anchor}


def _as_begun(states: States, learner: str, anchor: nnx.State | None, steps: int) -> States:
    """The states at the beginning of a phase of which `steps` steps are made; without an anchor, the learner's as it stands."""
    if anchor is None:
        return states
    state = states[learner]
    return {**states, learner: state._replace(step=state.step - steps, trainable=anchor)}


def _check_identity(identity: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raises UserError naming what the saved run differs in: each setting with both its values."""
    if "settings" in identity and "settings" not in saved:
        raise UserError(
            "this workdir holds a run of an earlier version, which did not save its settings, so nobody can tell whether they "
            "are these: name another workdir"
        )
    before, now = ({key: value for key, value in of.items() if key != "settings"} for of in (saved, identity))
    settings, others = saved.get("settings", {}), json.loads(json.dumps(identity.get("settings", {})))
    changed = [
        f"{name} ({settings.get(name, 'not there')!r} -> {others.get(name, 'not there')!r})"
        for name in sorted({**settings, **others})
        if not _without_effect(name) and settings.get(name, ...) != others.get(name, ...)
    ]
    # A fingerprint that differs because a setting does says nothing more.
    changed = changed or [
        CONTENTS.get(key, f"{key} ({before.get(key)!r} -> {now.get(key)!r})")
        for key in sorted({**before, **now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise UserError(
            f"this workdir holds a run that differs in {', '.join(changed)}: use the config it was begun with, or another "
            "workdir"
        )


def _without_effect(setting: str) -> bool:
    return setting in ("workdir", "store", "save_every", "show_every") or setting.startswith("devices.")
