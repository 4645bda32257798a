"""How a bad file is reported: every fault at once, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from remid_jax.errors import UserError

SHOWN = 20  # more than this is no longer read by anyone


def raise_all(faults: Sequence[str]) -> None:
    """Raises one UserError that lists `faults`, the first 20 of them in full; does nothing when there are none."""
    if not faults:
        return
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    raise UserError(" ".join("; ".join([*faults[:SHOWN], *more]).split()))


def meant(name: str, known: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" with the nearest of the `known` names, or "" if none is near."""
    near = nearest(name, known)
    return f" (did you mean {near!r}?)" if near else ""


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """Returns the nearest of the `known` names, whatever the case, if it is at least so much `alike` (difflib's ratio)."""
    lowered = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lowered, 1, alike)
    return lowered[near[0]] if near else None


def kind(value: object) -> str:
    """Returns what sort of JSON value it is, for an error."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
