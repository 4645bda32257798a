"""The settings of training, checked where they are made."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from remid_jax.errors import UserError

Aggregation = Literal["grpo", "dr_grpo", "dapo", "bnpo"]
Level = Literal["token", "sequence"]
Penalty = Literal["none", "k2", "k3_ratio"]


@dataclasses.dataclass(frozen=True)
class PolicyLoss:
    """Settings of `losses.grpo`. `max_tokens` is the longest completion, by which "dr_grpo" divides."""

    aggregation: Aggregation = "dapo"
    level: Level = "token"
    clip_low: float = 0.2
    clip_high: float = 0.2
    penalty: Penalty = "none"
    penalty_weight: float = 0.0
    entropy_weight: float = 0.0
    max_tokens: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("aggregation", Aggregation), ("level", Level), ("penalty", Penalty)):
            if getattr(self, name) not in get_args(allowed):
                raise UserError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(get_args(allowed))}")
        if not (0 <= self.clip_low <= 1 and self.clip_high >= 0):
            raise UserError(f"clip_low={self.clip_low}, clip_high={self.clip_high}: low lies within [0, 1], high is at least 0")
        if (self.penalty == "none") != (self.penalty_weight == 0):
            raise UserError(f"penalty={self.penalty!r} with penalty_weight={self.penalty_weight}: give both or neither")
