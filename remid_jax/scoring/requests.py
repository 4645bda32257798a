"""What may be asked of the scoring engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Continuation:
    """Token ids that follow a prefix."""

    ids: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Request:
    """A prefix and the continuations to score after it, each apart from the others.

    Requests of one `group` may share a packed row and their common prefixes; rows never mix groups, so that an edit of one
    record moves no row of another group.
    """

    prefix: Sequence[int]
    continuations: Sequence[Continuation]
    group: str = ""
