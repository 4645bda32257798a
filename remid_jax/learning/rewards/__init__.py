"""Rewards by name. Adding one is one file here: `NAME.py` with a function `make(resources, **settings) -> Reward`.

`resources.engine` refuses a reward that needs a model which its run does not have.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.learning.rollouts import Group
from remid_jax.scoring.engine import ScoringEngine

Reward = Callable[[Sequence[Group]], Float[np.ndarray, "P G"]]
"""Completions of P prompts to rewards; NaN where one cannot be told: it is left out of its group."""


@dataclasses.dataclass(frozen=True)
class Resources:
    """What the rewards of a run may ask: its prompts, all records that it learns from, and engines, where it has them.

    The `judge` says how well a reply matches another, the `responder` how likely a reply is in a context.
    """

    prompts: Prompts
    records: Sequence[Record]
    judge: ScoringEngine | None = None
    responder: ScoringEngine | None = None

    def engine(self, role: Literal["judge", "responder"], reward: str) -> ScoringEngine:
        """Returns the engine that the reward needs.

        Raises:
          UserError: if the run has none.
        """
        engine = self.judge if role == "judge" else self.responder
        if engine is None:
            raise UserError(f"config.rewards: {reward} needs a {role}, and there is none here: give weights to other rewards")
        return engine


@dataclasses.dataclass(frozen=True)
class Rewards:
    """Named rewards and their weights; calling gives each apart, and the weighted sum."""

    parts: Mapping[str, tuple[float, Reward]]

    def __call__(self, groups: Sequence[Group]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        apart = {name: np.asarray(reward(groups), np.float64) for name, (_, reward) in self.parts.items()}
        return apart, sum(weight * apart[name] for name, (weight, _) in self.parts.items())  # type: ignore[return-value]


def names() -> list[str]:
    """The rewards there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def make_rewards(weights: Mapping[str, float], resources: Resources, settings: Mapping[str, Mapping[str, object]]) -> Rewards:
    """Makes the rewards that have `weights`; each gets the `resources` of the run and its own `settings`, by its name.

    Raises:
      UserError: for a name or a setting that is none, for a reward that needs what the run does not have, or if there are no
        weights.
    """
    unknown = [name for name in weights if name not in names()]
    if unknown or not weights:
        raise UserError(f"config.rewards: {', '.join(unknown) or 'none given'}: choose among {', '.join(names())}")
    made = {}
    for name, weight in weights.items():
        module = importlib.import_module(f"{__name__}.{name}")
        allowed = [of for of in inspect.signature(module.make).parameters if of != "resources"]
        if odd := [of for of in settings.get(name, {}) if of not in allowed]:
            raise UserError(
                f"config.reward_settings.{name}: no setting {', '.join(odd)}: there are {', '.join(allowed) or 'none'}"
            )
        made[name] = (float(weight), module.make(resources, **settings.get(name, {})))
    return Rewards(made)
