"""The training loop: phases of steps, each from a recipe; everything that a resumed run needs is in its checkpoints.

A step is: the feed names records -> the recipe turns them into completions -> the trainer changes one learner -> the journal is
written -> a checkpoint is begun. Learners ("policy", or "reasoner" and "responder") keep their states side by side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from remid_jax.checkpoints import Checkpoints
from remid_jax.errors import UserError
from remid_jax.identity import Identity, check_same
from remid_jax.learning.feed import Feed
from remid_jax.learning.journal import Journal, Row
from remid_jax.learning.kept import KeptSteps
from remid_jax.learning.stopped import Stopped
from remid_jax.learning.trainer import Columns, Trainer, TrainState
from remid_jax.models.loading import LanguageModel
from remid_jax.progress import Advance, Reports
from remid_jax.scoring.requests import Request

States = dict[str, TrainState]
ANCHOR = "anchor"  # beside the learners in a checkpoint


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a step learns from: the records it is about, completions, and what the objective needs besides.

    `metrics` are logged beside the trainer's; `rollouts` are rows for a table.
    """

    records: Sequence[str]
    requests: Sequence[Request]
    columns: Columns
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    rollouts: Sequence[Row] = ()


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


class Heeding:
    """Passes on to other reports; a stage of it ends in `stopped` as soon as the run is asked to stop, between two reports."""

    def __init__(self, reports: Reports, stopping: Callable[[], bool], stopped: Stopped):
        self._reports, self._stopping, self._stopped = reports, stopping, stopped

    def say(self, line: str) -> None:
        self._reports.say(line)

    @contextlib.contextmanager
    def stage(self, name: str, unit: str = "tokens") -> Iterator[Advance]:
        with self._reports.stage(name, unit) as advance:

            def advance_or_stop(done: int, total: int) -> None:
                advance(done, total)
                if self._stopping():
                    raise self._stopped

            yield advance_or_stop


def run(
    phases: Sequence[Phase],
    checkpoints: Checkpoints,
    open_journal: Callable[[int], Journal],
    identity: Identity,
    save_every: int,
    show_every: int = 10,
    stopping: Callable[[], bool] = lambda: False,
    report: Callable[[int, int, Phase, Mapping[str, float]], None] = lambda done, total, phase, metrics: None,
    kept: KeptSteps | None = None,
) -> dict[str, LanguageModel]:
    """Runs all phases, from the last checkpoint if there is one, and returns the learners as models.

    `identity` is saved beside the state; a run of another identity does not go on from there. `report` gets (steps done, steps
    in all, the phase and the metrics of the last step). `kept` keeps steps for others; the row of metrics whose update made a
    state that is kept names that state as "kept".

    Raises:
      Stopped: if `stopping()` said so after a step.
      UserError: if the checkpoints belong to another run, or a loss or gradient is not finite: the batch is named, and the step
        last kept, from which another run may begin.
    """
    total, saved = sum(phase.steps for phase in phases), checkpoints.latest
    done = saved or 0
    trainers = _trainers(phases, done)
    states: States = {name: trainer.start() for name, trainer in trainers.items()}
    anchor: nnx.State | None = None  # the parameters with which the learner of an anchored phase began it
    if saved is not None:
        states, anchor = _restored(checkpoints, saved, phases, trainers, states, identity)
    if kept is not None:
        kept.begin(done)
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
                began = time.monotonic()
                learner = phase.trainer.model_of(states[phase.learner])
                lesson = recipe(learner, next(phase.feed), done)
                states[phase.learner], metrics = phase.trainer.step(states[phase.learner], lesson.requests, lesson.columns)
                if not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all():
                    raise UserError(
                        f"step {done} ({phase.name}): the loss is {metrics['loss']}, its gradient's norm "
                        f"{metrics['gradient_norm']}, on records {', '.join(lesson.records)}: train in another workdir, with a "
                        f"lower learning rate or without those records{kept.beginning if kept else ''}"
                    )
                standing: dict[str, str | int] = {"phase": phase.name, "iteration": phase.iteration}
                standing |= {f"{name}_updates": int(state.step) for name, state in states.items()}
                is_kept = kept is not None and kept.is_due(done + 1)
                standing |= {"kept": done + 1} if is_kept else {}
                row = {**lesson.metrics, **metrics}
                journal.step(done, standing, row, _times(lesson, time.monotonic() - began))
                if lesson.rollouts and done % show_every == 0:
                    journal.rollouts(done, lesson.rollouts)
                done += 1
                report(done, total, phase, row)
                if kept is not None and is_kept:  # before the run's own checkpoint: what that one remembers is kept
                    kept.keep(done, {name: trainers[name].model_of(state) for name, state in states.items()})
                asked = stopping()
                if asked or done % save_every == 0 or done == last:
                    journal.flush()
                    beside = {"identity": identity.as_json(), "places": [of.feed.place for of in phases]}
                    checkpoints.save(done, _with_anchor(states, anchor), beside)
                if asked and done < total:
                    raise Stopped(done, total)
            first = last
        return _models(trainers, states)
    finally:  # whatever happened, a save under way comes to its end
        with contextlib.closing(journal):
            checkpoints.close()


def _restored(
    checkpoints: Checkpoints, done: int, phases: Sequence[Phase], trainers: Mapping[str, Trainer], states: States,
    identity: Identity,
) -> tuple[States, nnx.State | None]:  # fmt: skip
    """The states and the anchor of a checkpoint, for `states` as they began; every phase's feed goes on from its place."""
    beside = checkpoints.beside(done)
    mend = "use the config it was begun with, or another workdir"
    check_same(Identity.from_json(beside["identity"]), identity, "this workdir", mend)
    shardings = {name: trainers[name].shardings(state) for name, state in states.items()}
    anchored = _anchored(phases, done)
    shapes = _with_anchor(states, states[anchored].trainable if anchored else None)
    restored = checkpoints.restore(done, shapes, _with_anchor(shardings, shardings[anchored].trainable if anchored else None))
    for phase, place in zip(phases, beside["places"], strict=True):
        phase.feed.place = place
    anchor = restored.pop(ANCHOR, None)
    return restored, anchor


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
