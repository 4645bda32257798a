"""Calls of actors: who is lost, and what they raise for people, without Ray's account of where."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import ray

from remid_jax.errors import UserError

LOST = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError)
GO_ON = "run the same command again to go on from here"


class KeeperLostError(UserError):
    """The actor that has index and store has died."""


def caller(keeper: Any) -> Callable[..., Any]:
    """Returns a function that calls the keeper and waits; what it raises for people comes as it was raised."""

    def call(method: str, *given: Any) -> Any:
        with of_people():
            try:
                return ray.get(getattr(keeper, method).remote(*given))
            except LOST as error:
                raise KeeperLostError(
                    f"the actor that keeps index and store was lost ({first_line(error)}): {GO_ON}"
                ) from error

    return call


@contextlib.contextmanager
def of_people() -> Iterator[None]:
    """Within, errors for people that another process raised come as they were raised there."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise


def first_line(error: BaseException) -> str:
    """Returns the first line of an error of Ray, or of the one that another actor heard of."""
    if isinstance(error, ray.exceptions.RayTaskError):
        error = error.cause
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
