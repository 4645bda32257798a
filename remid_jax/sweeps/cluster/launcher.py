"""The launcher that runs points side by side, on the workers of a Ray cluster.

A point goes to a worker when all that it needs is done, by preference to one that has its models loaded. A worker that is lost
is replaced, and its point tried again. Workers send what they find to the keeper, so a sweep that is stopped goes on from
there, with any launcher.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import ray
from ml_collections import ConfigDict
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from remid_jax.errors import UserError
from remid_jax.settings import flat
from remid_jax.sweeps.attempts import Outcome, to_run
from remid_jax.sweeps.cluster.actors import Gang, Node
from remid_jax.sweeps.cluster.calls import LOST, KeeperLostError, caller, first_line, of_people
from remid_jax.sweeps.cluster.connection import ACCELERATORS, options, requirements, room, unasked
from remid_jax.sweeps.cluster.keeper import Keeper
from remid_jax.sweeps.cluster.worker import Home
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import say_what_is_known
from remid_jax.sweeps.plan import Done, Failure, Plan, Surroundings
from remid_jax.sweeps.points import Point

LISTENING = 0.5  # seconds between two looks at what workers say
AT_ONCE = 16  # calls that the keeper answers at once
CPU_ALONE = {"JAX_PLATFORMS": "cpu"}  # of who must not take an accelerator from others
MODELS = ("estimator.model", "policy.model", "model")  # settings that name what a worker keeps loaded


def run_on_ray(
    plan: Plan, index: Index, names: Sequence[str], workdir: Path, surroundings: Surroundings, config: ConfigDict,
    retry_failed: bool = False, entered: Callable[[Index], None] = lambda index: None,
) -> Outcome:  # fmt: skip
    """Runs points as `run_serially`, on the workers of the Ray cluster that this process is connected to.

    `config` has the settings of the cluster (see `remid_jax.sweeps.settings`).

    Raises:
      UserError: as `run_serially`, and if no worker can be had.
    """
    points, outcome = to_run(plan, index, names, workdir, retry_failed)
    if not points:
        say_what_is_known(index, names, [], surroundings)
        return outcome
    home = Home(ray.get_runtime_context().get_node_id(), str(workdir.resolve()), os.getcwd())
    with of_people():
        keeper, given = _keeper(plan, index, home)
        index.refresh()  # a keeper whose driver was killed may have entered more before it ended
        points, outcome = to_run(plan, index, names, workdir, retry_failed)
        say_what_is_known(index, names, [point.name for point in points], surroundings)
        _Launch(plan, index, points, outcome, surroundings, config, entered, home, keeper, given).run()
    return outcome


def _keeper(plan: Plan, index: Index, home: Home) -> tuple[Any, Any]:
    """The keeper, beside this process, once it has the index, and the plan where Ray keeps it."""
    output, *beside = (str(Path(path).resolve()) for path in index.places)
    given = ray.put(plan)
    actor = ray.remote(Keeper).options(
        num_cpus=0, max_concurrency=AT_ONCE, runtime_env={"env_vars": CPU_ALONE}, scheduling_strategy=_at(home)
    )
    keeper = actor.remote(given, output, beside, home.workdir)
    caller(keeper)("heard")
    return keeper, given


def _at(home: Home) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(home.node, soft=False)


@dataclasses.dataclass(eq=False)
class _Handle:
    """A worker: its actor, of a gang the placement group that holds what its hosts ask for, the models that it has loaded, and
    how often workers in its place could not start."""

    actor: Any
    group: PlacementGroup | None = None
    models: tuple[Any, ...] = ()
    starts: int = 0

    def end(self) -> None:
        """Ends what is left of it: it may live and have lost its connection alone, and Ray keeps a group until the job ends."""
        with contextlib.suppress(*LOST):
            ray.kill(self.actor)
        if self.group is not None:
            remove_placement_group(self.group)


class _Launch:
    """Points on their way to workers and back."""

    def __init__(
        self, plan: Plan, index: Index, points: Sequence[Point], outcome: Outcome, surroundings: Surroundings,
        config: ConfigDict, entered: Callable[[Index], None], home: Home, keeper: Any, given: Any,
    ):  # fmt: skip
        self._plan, self._index, self._outcome, self._config, self._entered = plan, index, outcome, config, entered
        self._points = {point.name: point for point in points}
        self._models = {point.name: _models(point) for point in points}
        self._progress = surroundings.progress
        self._home, self._keeper, self._given = home, keeper, given
        self._left = dict(self._points)  # to be sent, in order
        self._losses: Counter[str] = Counter()
        self._starting: dict[Any, _Handle] = {}
        self._running: dict[Any, tuple[Point, _Handle]] = {}
        self._idle: list[_Handle] = []

    def run(self) -> None:
        """Runs all points that can be run.

        Raises:
          UserError: if a disk is full, no worker can start, or the keeper is lost.
        """
        for _ in range(self._workers()):
            self._start(0)
        try:
            while self._left or self._running:
                self._send()
                if not self._running and not self._ready():
                    break  # the rest waits for what failed
                came, _ = ray.wait([*self._running, *self._starting], num_returns=1, timeout=LISTENING)
                for reference in came:
                    if reference in self._starting:
                        self._started(reference)
                    else:
                        self._ended(reference)
                self._listen()
        finally:
            with contextlib.suppress(KeeperLostError):
                self._listen()
                caller(self._keeper)("save")
            self._index.refresh()

    def _workers(self) -> int:
        """How many workers to begin with."""
        wanted = requirements(self._config)
        hosts = self._config.hosts or 1
        fitting = room(ray.nodes(), wanted) // hosts
        if idle := unasked(ray.nodes(), wanted):
            self._progress.say(f"points compute on CPUs, as they ask for none of {idle}: see config.point")
        if not fitting:
            each = f"{hosts} times " if hosts > 1 else ""
            shown = each + ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            if not self._config.address:
                raise UserError(f"config.point: this machine has no {shown} for a point: ask for less, or name a cluster")
            self._progress.say(f"no node has {shown} for a point: waiting for one")
        return min(self._config.workers or max(fitting, 1), len(self._points))

    def _start(self, starts: int) -> None:
        wanted = requirements(self._config)
        environment = {"env_vars": _environment(any(name in wanted for name in ACCELERATORS))}
        given = (self._given, self._keeper, self._home, self._config.folder)
        actor: Any
        group = None
        if self._config.hosts:  # which get what they ask for all at once, so that no two gangs wait for each other's half
            group = placement_group([wanted] * self._config.hosts, strategy="SPREAD")
            gang = ray.remote(Gang).options(num_cpus=0, runtime_env=environment, scheduling_strategy=_at(self._home))
            actor = gang.remote(self._config.hosts, group, options(wanted), *given)
        else:
            actor = ray.remote(Node).options(**options(wanted), runtime_env=environment).remote(*given)
        self._starting[actor.ready.remote()] = _Handle(actor, group, starts=starts)

    def _started(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            ray.get(reference)
        except LOST as error:
            worker.end()
            if worker.starts == self._config.retries:
                raise UserError(
                    f"config.launcher=ray: workers do not start ({first_line(error)}): look at Ray's logs"
                ) from error
            self._start(worker.starts + 1)
        else:
            self._idle.append(worker)

    def _ready(self) -> list[Point]:
        """The points of which nothing that they need is still to be run, or has failed."""
        unfinished = {*self._left, *(running.name for running, _ in self._running.values())}
        stuck = self._outcome.waiting
        return [point for name, point in self._left.items() if name not in stuck and unfinished.isdisjoint(point.needs)]

    def _send(self) -> None:
        """Gives each idle worker a point, by preference one whose models it has."""
        ready = self._ready() if self._idle else []
        while self._idle and ready:
            loaded = {worker.models: worker for worker in self._idle}
            point = next((point for point in ready if self._models[point.name] in loaded), ready[0])
            worker = loaded.get(self._models[point.name], self._idle[0])
            self._idle.remove(worker)
            ready.remove(point)
            del self._left[point.name]
            worker.models = self._models[point.name]
            self._running[worker.actor.run.remote(point.name)] = (point, worker)
            number = len(self._points) - len(self._left)
            self._progress.say(f"point {number} of {len(self._points)}: {point.name}")

    def _ended(self, reference: Any) -> None:
        point, worker = self._running.pop(reference)
        try:
            result, work = ray.get(reference)
        except LOST as error:
            worker.end()
            self._lost(point, error)
            return
        self._outcome.work.update(work)
        self._idle.append(worker)
        self._take(point, result)

    def _lost(self, point: Point, error: BaseException) -> None:
        """Tries the point of a lost worker again, behind the others, on a new one; unless the keeper had its result by then."""
        call = caller(self._keeper)
        self._start(0)
        if (done := call("done", point.name)) is not None:
            self._outcome.work.update(done.work)
            self._take(point, done)
            return
        self._losses[point.name] += 1
        count, most = self._losses[point.name], self._config.retries
        call("let_go", point.name)
        if count <= most:
            self._progress.say(f"{point.name}: its worker was lost; try {count + 1} of {most + 1}")
            self._left[point.name] = point
            return
        log = str(Path(self._home.workdir) / point.name)
        failure = Failure(self._plan.identities[point.name].key, f"lost {count} workers: {first_line(error)}", log)
        call("enter", point.name, failure)
        self._take(point, failure)

    def _take(self, point: Point, result: Done | Failure) -> None:
        if isinstance(result, Done):
            self._outcome.run.append(point.name)
        else:
            self._outcome.fail(point.name, result)
            self._progress.say(f"{point.name} failed: {result.error}")
        if point.name not in self._index:  # as the keeper has entered it
            self._index.take(point.name, result)
        self._entered(self._index)

    def _listen(self) -> None:
        for name, line in caller(self._keeper)("heard"):
            self._progress.say(f"{name}: {line}")


def _environment(accelerated: bool) -> dict[str, str]:
    """What workers have in common with this process: where compiled programs are kept, how many threads sum. Those that ask for
    no accelerator leave it to others."""
    settings = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    wanted = {name.upper(): getattr(jax.config, name) for name in settings}
    same = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS", "JAX_PLATFORMS")
    variables = {name: str(value) for name, value in wanted.items() if value is not None}
    variables |= {name: os.environ[name] for name in same if name in os.environ}
    return variables if accelerated else variables | CPU_ALONE


def _models(point: Point) -> tuple[Any, ...]:
    settings = flat(point.config)
    return tuple(settings.get(name) for name in MODELS)
