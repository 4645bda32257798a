"""The optimizer of every phase: AdamW behind a clip, its rate warmed up and cooled down."""

from __future__ import annotations

from typing import Literal, get_args

import optax
from jaxtyping import Array

from remid_jax.errors import UserError

Schedule = Literal["constant", "cosine"]


def adamw(
    learning_rate: float, steps: int, warmup: float, schedule: str, clip: float, weight_decay: float
) -> optax.GradientTransformation:
    """AdamW (arXiv 1711.05101) on the mean gradient, clipped to a global norm of `clip`.

    The rate rises linearly over the share `warmup` of `steps`, then stays, or falls to 0 along a cosine.

    Raises:
      UserError: for a setting that means nothing.
    """
    if schedule not in get_args(Schedule):
        raise UserError(f"config.optimizer.schedule={schedule!r}: choose one of {', '.join(get_args(Schedule))}")
    if not (learning_rate > 0 and 0 <= warmup <= 1 and clip > 0 and weight_decay >= 0 and steps > 0):
        raise UserError(
            f"config.optimizer: learning_rate={learning_rate}, warmup={warmup}, clip={clip}, weight_decay={weight_decay}: rate "
            "and clip must be positive, warmup a share within [0, 1], weight_decay at least 0; config.steps positive"
        )
    rising = round(warmup * steps)

    def rise(step: Array) -> Array:
        return learning_rate * (step + 1) / rising

    rest = (
        optax.cosine_decay_schedule(learning_rate, max(1, steps - rising))
        if schedule == "cosine"
        else optax.constant_schedule(learning_rate)
    )
    rate = optax.join_schedules([rise, rest], [rising]) if rising else rest
    return optax.chain(optax.clip_by_global_norm(clip), optax.adamw(rate, weight_decay=weight_decay))
