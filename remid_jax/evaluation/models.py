"""The models of an evaluation: the estimator's, the encoder of contexts, and the policy's unless its replies are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import get_args

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.parallel import Devices
from remid_jax.roles.reading import Reading, template_settings, thinking_of
from remid_jax.roles.shipped import policy_parts
from remid_jax.roles.training_runs import read_policy_adapter
from remid_jax.scoring.engine import Pooling
from remid_jax.scoring.texts import tokenizer_of


@dataclasses.dataclass(frozen=True)
class Models:
    """`policy` is None where its replies are ready; the same model in several roles is one object."""

    estimator: LanguageModel
    encoder: LanguageModel
    policy: LanguageModel | None = None

    def by_role(self) -> dict[str, LanguageModel]:
        """Returns {role: model} of those there are."""
        roles = {"estimator": self.estimator, "policy": self.policy, "encoder": self.encoder}
        return {role: model for role, model in roles.items() if model is not None}


def open_models(
    config: ConfigDict, opened: Mapping[str, LanguageModel], ready_replies: bool, devices: Devices, reading: Reading
) -> Models:
    """Opens what `config` names, but for models that are `opened` already, by role ("estimator", "policy", "embedding").

    Raises:
      UserError: if a model cannot be opened, has no chat template, or a setting of it means nothing.
    """
    if config.embedding.pooling not in get_args(Pooling):
        raise UserError(f"config.embedding.pooling={config.embedding.pooling!r}: choose one of {', '.join(get_args(Pooling))}")
    native = thinking_of(config.policy.thinking) == "native"
    templates = {role: template_settings(config[role].template, f"config.{role}.template") for role in ("estimator", "policy")}

    policy_base, policy_adapter = policy_parts(config.policy.model, config.policy.adapter)
    sources = {"estimator": config.estimator.model, "policy": policy_base, "embedding": config.embedding.model}

    def opened_as(role: str, dtype: str) -> LanguageModel:
        return opened.get(role) or open_model(sources[role], dtype, devices.parameter_mesh)

    base = opened_as("estimator", config.estimator.dtype)
    estimator = read_as(base, thinking=False, template=templates["estimator"], **reading)
    policy = None
    if not ready_replies:
        same_source = (policy_base, config.policy.dtype) == (config.estimator.model, config.estimator.dtype)
        alike = same_source and opened.get("policy") is opened.get("estimator")
        policy = estimator if alike else opened_as("policy", config.policy.dtype)
        if not alike or native or templates["policy"] != templates["estimator"]:
            policy = read_as(policy, thinking=native, template=templates["policy"], **reading)
        policy = adapted(policy, read_policy_adapter(policy_adapter, policy)) if policy_adapter else policy
    for model in filter(None, (estimator, policy)):
        if not tokenizer_of(model).has_chat_template:
            lack = tokenizer_of(model).chat.lack
            raise UserError(f"{model.source}: {lack}, which role-playing prompts need: use a chat model")
    encoder = estimator
    if "embedding" in opened or config.embedding.model:
        encoder = read_as(opened_as("embedding", config.estimator.dtype), **reading)
    tokenizer_of(encoder)
    return Models(estimator, encoder, policy)


def described_reading(model: LanguageModel) -> dict[str, object]:
    """Returns how a model reads texts, for the results."""
    tokenizer = tokenizer_of(model)
    return {
        "tokenizer": tokenizer.fingerprint,
        "template": dict(tokenizer.reading.template),
        "writes_date": tokenizer.chat.writes_date,
        "folds_system": tokenizer.chat.folds_system,
    }
