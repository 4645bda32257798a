"""Models that stay opened between the evaluations of one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.parallel import Devices
from remid_jax.roles.shipped import policy_parts


class LoadedModels:
    """Opens what an evaluation needs and the one before it did not, and lets go of the rest: never more than one point's."""

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], LanguageModel] = {}

    def of_evaluation(self, config: ConfigDict) -> Mapping[str, LanguageModel]:
        """Returns {role: model} as `remid_jax.evaluation.arguments.Given` takes them.

        Raises:
          UserError: if a model cannot be opened.
        """
        devices = Devices(config.devices.parallel, config.devices.mesh_model)
        sources = {"estimator": (config.estimator.model, config.estimator.dtype)}
        if not config.policy.replies and not is_endpoint(config.policy.model):
            sources["policy"] = (policy_parts(config.policy.model, None)[0], config.policy.dtype)
        if config.embedding.model:
            sources["embedding"] = (config.embedding.model, config.estimator.dtype)
        keys = {role: (*source, devices) for role, source in sources.items()}
        self._held = {key: model for key, model in self._held.items() if key in keys.values()}
        for key in keys.values():
            if key not in self._held:
                self._held[key] = open_model(*key[:2], devices.parameter_mesh)
        return {role: self._held[key] for role, key in keys.items()}

    def let_go(self) -> None:
        """Lets go of all, for work that opens its own."""
        self._held.clear()
