"""Whoever runs points where Ray puts it: one worker, or several that run a point together, each a host of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from remid_jax.parallel import join_hosts
from remid_jax.sweeps.cluster.calls import LOST, caller, of_people
from remid_jax.sweeps.cluster.worker import Home, Worker
from remid_jax.sweeps.plan import Done, Failure, Plan

PATIENCE = 60.0  # seconds in which all hosts of a point end, once one has: Ray knows by then of a lost node
MEETING = 120  # seconds in which all hosts of a gang must have come


class Node:
    """A worker, or one host of several."""

    def __init__(self, plan: Plan, keeper: Any, home: Home, folder: str | None, host: int = 0):
        node = ray.get_runtime_context().get_node_id()
        self._worker = Worker(plan, caller(keeper), lambda method, *given: getattr(keeper, method).remote(*given), home, node,
                              folder, host)  # fmt: skip

    def ready(self) -> None:
        """Returns when the worker can run points."""

    def run(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        return self._worker.run(name)

    def compute(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        return self._worker.compute(name)

    def enter(self, name: str, outcome: Done | Failure) -> None:
        self._worker.enter(name, outcome)

    def is_done_here(self, name: str) -> bool:
        return self._worker.is_done_here(name)

    def address(self) -> str:
        """Returns HOST:PORT where others can come to."""
        with socket.create_server(("", 0)) as free:
            return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

    def join(self, coordinator: str, hosts: int, host: int) -> None:
        join_hosts(coordinator, hosts, host, MEETING)


class Gang:
    """Workers that run each point together, as hosts of one `jax.distributed` run; to the launcher they are one worker.

    They meet once and stay together. One that is lost takes the gang with it, as it is the gang that has started them. The
    first host's result is the point's. They run in the bundles of `group`, each with the `options` of one.
    """

    def __init__(
        self, hosts: int, group: PlacementGroup, options: Mapping[str, Any], plan: Plan, keeper: Any, home: Home,
        folder: str | None,
    ):  # fmt: skip
        self._hosts, self._group, self._options = hosts, group, options
        self._given, self._keeper = (ray.put(plan), keeper, home, folder), caller(keeper)
        self._members: Sequence[Any] = ()

    def ready(self) -> None:
        """Returns when the hosts have met.

        Raises:
          UserError: if they do not come together.
        """
        node: Any = ray.remote(Node)
        self._members = [
            node.options(
                **self._options,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=host),
            ).remote(*self._given, host)
            for host in range(self._hosts)
        ]
        with of_people():
            coordinator = ray.get(self._members[0].address.remote())
            ray.get([member.join.remote(coordinator, self._hosts, host) for host, member in enumerate(self._members)])

    def run(self, name: str) -> tuple[Done | Failure, dict[str, int]]:
        """Runs a point; returns what came of it on the first host, or why another failed for which that still waits.

        Raises:
          UserError: if a disk is full.
        """
        if not self._members:
            self.ready()
        with of_people():
            first = self._members[0]
            if ray.get(first.is_done_here.remote(name)):  # there is nothing for the others to take a share of
                return ray.get(first.run.remote(name))
            calls = [member.compute.remote(name) for member in self._members]
            ended, left = self._all_ended(calls)
            if calls[0] in ended:
                outcome, work = ended[calls[0]]
                ray.get(first.enter.remote(name, outcome))
            else:
                outcome, work = next(iter(ended.values()))[0], {}
                self._keeper("enter", name, outcome)
            if left:
                self._end()
            return outcome, work

    def _all_ended(self, calls: Sequence[Any]) -> tuple[dict[Any, Any], Sequence[Any]]:
        """What came of each call, and the calls that did not end: hosts that wait for what another does no more."""
        ended: dict[Any, Any] = {}
        left, patience = list(calls), None
        while left:
            came, left = ray.wait(left, timeout=patience)
            if not came:
                break
            ended |= {call: ray.get(call) for call in came}
            if calls[0] in ended or any(isinstance(outcome, Failure) for outcome, _ in ended.values()):
                patience = PATIENCE
        return ended, left

    def _end(self) -> None:
        """Ends all hosts, some of which wait for others in vain; the next point starts them anew."""
        for member in self._members:
            with contextlib.suppress(*LOST):
                ray.kill(member)
        self._members = ()
