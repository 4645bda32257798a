"""The server as a process: where it listens, who may ask it, and uvicorn, which speaks HTTP."""

from __future__ import annotations

import ipaddress
import os
import socket

import uvicorn
from starlette.applications import Starlette

from remid_jax.errors import UserError

MOST_CONNECTIONS = 1024  # requests beyond so many under way are answered with status 503
IDLE = 30  # seconds that a connection may be idle


def token_of(host: str, variable: str | None) -> str | None:
    """Returns the token that the environment holds under the name `variable`; None where anybody on this machine may ask.

    Raises:
      UserError: if the address can be reached from elsewhere and there is no token.
    """
    token = os.environ.get(variable, "").strip() if variable else ""
    if variable and not token:
        raise UserError(f"config.token={variable}: the environment has no such variable: export it with a secret of yours")
    if not token and not is_loopback(host):
        raise UserError(
            f"config.host={host}: can be reached from other machines: export a secret and name its variable, "
            "--config.token=VARIABLE, or listen on 127.0.0.1"
        )
    return token or None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens; port 0 takes any that is free.

    Raises:
      UserError: if there is no such address here, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else error
        raise UserError(
            f"config.host={host}, config.port={port}: cannot listen there ({why}): name another port or host"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Returns the address that clients are given as the base of their URLs."""
    host, port, *_ = listening.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def server_of(app: Starlette) -> uvicorn.Server:
    """Returns uvicorn's server of an application, to be run with the sockets of `listen`; it logs errors alone."""
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=IDLE, lifespan="off", loop="asyncio", http="h11", ws="none",
        log_config=None,  # uvicorn's own would close the streams of handlers that are there
    )  # fmt: skip
    return uvicorn.Server(config)
