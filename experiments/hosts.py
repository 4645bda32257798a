"""Several hosts: they meet before JAX does, so that whoever is missing, late or unlike is named in one line on all of them.

The first host listens on the coordinator's port. Each other host says who it is and what it was given; the first compares and
answers all. Only then does JAX take the port over: its own meeting ends the process from inside when a host does not come.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

import remid_jax
from remid_jax.errors import UserError
from remid_jax.parallel import join_hosts
from remid_jax.settings import flat

from . import stopping

PATIENCE = 45.0  # seconds in which all hosts must have come
OWN = ("workdir", "store", "output", "page")  # settings in which hosts may differ


def join(coordinator: str | None, hosts: int, host: int, config: ConfigDict) -> None:
    """Makes this process one of several hosts, if it was told so.

    Raises:
      UserError: if a host is missing or leaves, or was given another config or other inputs.
    """
    if coordinator is None:
        if hosts > 1:
            raise UserError("--hosts needs --coordinator=HOST:PORT, the same on every host")
        return
    if coordinator == "auto":
        jax.distributed.initialize()
    else:
        name, _, port = coordinator.rpartition(":")
        if not (name and port.isdigit()):
            raise UserError(f"--coordinator={coordinator}: must be HOST:PORT of the first host, or auto")
        if host >= hosts:
            raise UserError(f"--host={host}: must be below --hosts={hosts}: hosts are counted from 0")
        if hosts > 1:
            meet(name, int(port), hosts, host, given(config))
        join_hosts(coordinator, hosts, host, int(PATIENCE))
    stopping.heed_signals()  # JAX puts a handler of its own in the place of ours


def on_any(asked: Callable[[], bool]) -> Callable[[], bool]:
    """Whether `asked` says so on any host, the same on all: they stop after the same step. All must call it equally often."""
    if jax.process_count() == 1:
        return asked
    return lambda: bool(np.any(multihost_utils.process_allgather(np.array(asked()))))


def given(config: ConfigDict) -> dict[str, str]:
    """{setting: its value, or a digest of the file or of the folder's names and sizes that it names}."""
    found = {f"config.{name}": _digest(value) for name, value in flat(config).items() if name.rpartition(".")[2] not in OWN}
    return found | {"the program's version": remid_jax.__version__, "JAX's version": jax.__version__}


def _digest(value: object) -> str:
    path = Path(value) if isinstance(value, str) and value else None
    with contextlib.suppress(OSError, ValueError):
        if path and path.is_file():
            with path.open("rb") as file:
                return f"a file of sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
        if path and path.is_dir():
            sizes = sorted((str(of.relative_to(path)), of.stat().st_size) for of in path.rglob("*") if of.is_file())
            return f"a folder of sha256 {hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:12]}"
    return repr(value)


def meet(name: str, port: int, hosts: int, host: int, mine: Mapping[str, str]) -> None:
    """Returns when all hosts have come and have been given the same.

    Raises:
      UserError: if not, on every host that has come.
    """
    ends = time.monotonic() + PATIENCE
    if host == 0:
        _receive(name, port, hosts, mine, ends)
    else:
        _report(name, port, host, mine, ends)


def _receive(name: str, port: int, hosts: int, mine: Mapping[str, str], ends: float) -> None:
    here: dict[int, socket.socket] = {}
    faults: list[str] = []
    try:
        listening = socket.create_server(("", port), backlog=hosts)
    except OSError as error:
        raise UserError(f"--coordinator={name}:{port}: cannot be listened on ({error.strerror}): name a free port") from error
    with listening:
        while len(here) < hosts - 1 and time.monotonic() < ends:
            listening.settimeout(0.5)
            with contextlib.suppress(TimeoutError, OSError, ValueError):
                guest, _ = listening.accept()
                guest.settimeout(5)
                who, theirs = _read(guest)
                if who in here or not 0 < who < hosts:
                    faults.append(f"two processes say that they are host {who}: give each its own --host")
                faults += _differences(who, mine, theirs)
                here[who] = guest
            for who, guest in list(here.items()):
                if _has_left(guest):
                    faults.append(f"host {who} left before all had come")
            if any("left" in fault or "two processes" in fault for fault in faults):
                break
    if not faults and (missing := [str(n) for n in range(1, hosts) if n not in here]):
        faults.append(f"host {', '.join(missing)} did not come within {PATIENCE:.0f} s: start the same command on all {hosts}")
    for guest in here.values():
        with contextlib.suppress(OSError), guest:
            guest.sendall(json.dumps(faults).encode() + b"\n")
    if faults:
        raise UserError("; ".join(faults[:20]))


def _report(name: str, port: int, host: int, mine: Mapping[str, str], ends: float) -> None:
    why = ""
    while time.monotonic() < ends:
        try:
            with socket.create_connection((name, port), timeout=5) as first:
                first.sendall(json.dumps([host, dict(mine)]).encode() + b"\n")
                first.settimeout(max(1.0, ends + 10 - time.monotonic()))
                faults = _read(first)
        except socket.gaierror as error:
            raise UserError(f"--coordinator={name}:{port}: no such host ({error.strerror}): check its name") from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            time.sleep(0.3)
            continue
        if faults:
            raise UserError("; ".join(map(str, faults[:20])))
        return
    raise UserError(
        f"host 0 did not answer at {name}:{port} within {PATIENCE:.0f} s ({why}): start the same command there with --host=0"
    )


def _read(from_whom: socket.socket) -> Any:
    """One line of JSON."""
    said = b""
    while not said.endswith(b"\n"):
        more = from_whom.recv(65536)
        if not more:
            raise ValueError("the connection was closed")
        said += more
    return json.loads(said)


def _has_left(guest: socket.socket) -> bool:
    guest.setblocking(False)
    try:
        return guest.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        guest.settimeout(5)


def _differences(who: int, mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is {mine.get(name, 'missing')} on host 0 and {theirs.get(name, 'missing')} on host {who}: give all the same"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    ]
