"""Ray as the launcher needs it: a cluster that is there, or one on this machine for as long as the sweep runs."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.settings import NOT_NEGATIVE

ANSWERS = 5.0  # seconds in which a head must take a connection
GIB = 2**30
ACCELERATORS = ("GPU", "TPU")


@contextlib.contextmanager
def connected(config: ConfigDict) -> Iterator[None]:
    """Within, Ray is there: `config.address` names it, or it is started on this machine.

    Raises:
      UserError: if Ray is not installed, or nobody answers at the address.
    """
    address, settings = config.address, {}
    if address:
        _check_answers(address)
    else:
        asked = (config.workers or 0) * (config.hosts or 1) * config.point.cpus
        cpus = max(os.cpu_count() or 1, math.ceil(asked))
        settings = {"num_cpus": cpus, "include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # JAX_PLATFORMS says it (see `unasked`)
    try:
        import ray
    except ImportError as error:
        raise UserError("config.launcher=ray: Ray is not installed: pip install 'remid-jax[ray]'") from error
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"config.address={address!r}: {_mend(address, first)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def requirements(config: ConfigDict) -> dict[str, float]:
    """Returns what a worker asks for, by Ray's names: {"CPU", "GPU", "memory" in bytes, others}.

    Raises:
      UserError: if `config.point.resources` are no pairs of a name and an amount.
    """
    others = config.point.resources
    if not all(
        isinstance(of, tuple | list) and len(of) == 2 and isinstance(of[0], str) and of[1] in NOT_NEGATIVE for of in others
    ):
        raise UserError(f"config.point.resources={others!r}: must be names with amounts, such as (('TPU', 4),)")
    wanted = {"CPU": config.point.cpus, "GPU": config.point.gpus, "memory": (config.point.memory or 0) * GIB}
    return {name: amount for name, amount in (wanted | dict(others)).items() if amount}


def options(wanted: Mapping[str, float]) -> dict[str, Any]:
    """Returns the same as an actor's options."""
    others = {name: amount for name, amount in wanted.items() if name not in ("CPU", "GPU", "memory")}
    return {
        "num_cpus": wanted.get("CPU", 0), "num_gpus": wanted.get("GPU", 0), "memory": wanted.get("memory"), "resources": others,
    }  # fmt: skip


def room(nodes: Sequence[Mapping[str, Any]], wanted: Mapping[str, float]) -> int:
    """Returns how many workers the nodes that are alive have room for; `nodes` is what `ray.nodes()` gives."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(
        int(min((resources.get(name, 0) // amount for name, amount in wanted.items()), default=1)) for resources in alive
    )


def unasked(nodes: Sequence[Mapping[str, Any]], wanted: Mapping[str, float]) -> str:
    """Returns which accelerators of the nodes no worker asks for, such as "8 GPU": workers then compute on CPUs alone."""
    if any(name in wanted for name in ACCELERATORS):
        return ""
    counts = {name: sum(node["Resources"].get(name, 0) for node in nodes if node["Alive"]) for name in ACCELERATORS}
    return ", ".join(f"{count:g} {name}" for name, count in counts.items() if count)


def _check_answers(address: str) -> None:
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UserError(
            f"config.address={address!r}: write it as auto, or HOST:PORT of the head of the cluster, from one of its nodes"
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERS).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"config.address={address!r}: {_mend(address, f'nobody answers ({why})')}") from error


def _mend(address: str | None, why: str) -> str:
    if address is None:
        return f"Ray does not start on this machine ({why}): free memory, or use --config.launcher=serial"
    return f"{why}: start a head there with `ray start --head`, or leave the address out to use this machine alone"
