"""Settings of many points at once: every combination of some values, or values side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from remid_jax.errors import UserError


def product(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """Returns every combination of one value a name; the last name changes fastest.

    A value may be what `zipped` gave, so that some names change together.

    >>> product(model=("s", "l"), share=(0, 1))
    [{'model': 's', 'share': 0}, {'model': 's', 'share': 1}, {'model': 'l', 'share': 0}, {'model': 'l', 'share': 1}]
    """
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def zipped(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """Returns the first values of all names, the second ones, and so on.

    >>> zipped(model=("small", "large"), rows=(32, 8))
    [{'model': 'small', 'rows': 32}, {'model': 'large', 'rows': 8}]

    Raises:
      UserError: if one name has more values than another.
    """
    listed: Mapping[str, list[Any]] = {name: list(column) for name, column in values.items()}
    if len({len(column) for column in listed.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(column)}" for name, column in listed.items())
        raise UserError(f"zipped: {lengths} values: give each name equally many")
    return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
