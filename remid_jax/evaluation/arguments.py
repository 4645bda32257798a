"""From keyword arguments to the settings of an evaluation, and the Python objects among them that stand for files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.errors import UserError
from remid_jax.evaluation.settings import default_settings
from remid_jax.models.loading import LanguageModel
from remid_jax.settings import check_settings, flat, kind_of, meant

GIVEN = "given in Python"  # what results say of an object
MAIN = {"benchmark": "source", "policy": "model", "estimator": "model", "embedding": "model"}
"""The setting of a group that its name alone stands for."""


@dataclasses.dataclass(frozen=True)
class Given:
    """Objects in the place of files: a benchmark or its records, opened models by role, texts by record."""

    benchmark: Benchmark | Sequence[Record | Mapping[str, Any]] | None = None
    models: Mapping[str, LanguageModel] = dataclasses.field(default_factory=dict)
    replies: Mapping[str, str] | None = None
    reasoning: Mapping[str, str] | None = None


def settings_of(arguments: Mapping[str, Any]) -> tuple[ConfigDict, Given]:
    """Returns the default settings with `arguments` in their places, and the objects among these.

    An argument is a setting by its name, or a group of settings as a mapping; `benchmark`, `policy`, `estimator` and
    `embedding` may be just their source or model.

    Raises:
      UserError: naming every setting that does not exist or cannot be what it is.
    """
    config = default_settings()
    objects: dict[str, Any] = {"models": {}}
    values: dict[str, Any] = {}
    for name, value in _named(arguments, config):
        if isinstance(value, LanguageModel) and name in ("policy.model", "estimator.model", "embedding.model"):
            role = name.partition(".")[0]
            objects["models"][role] = value
            values[name] = value.source
            if role != "embedding":
                values[f"{role}.dtype"] = value.dtype
        elif isinstance(value, Mapping) and name in ("policy.replies", "estimator.reasoning"):
            objects[name.rpartition(".")[2]] = value
            values[name] = GIVEN
        elif name == "benchmark.source" and not isinstance(value, (str, Path)):
            objects["benchmark"] = value
            values[name] = GIVEN
        else:
            values[name] = str(value) if isinstance(value, Path) else value
    _put(config, values)
    check_settings(config)
    return config, Given(**objects)


def _named(arguments: Mapping[str, Any], config: ConfigDict) -> list[tuple[str, Any]]:
    """The arguments by the dotted names of settings; None leaves a setting as it is where it stands for a whole group."""
    named: list[tuple[str, Any]] = []
    for name, value in arguments.items():
        is_group = isinstance(config.get(name), ConfigDict)
        if is_group and isinstance(value, Mapping):
            named += [(f"{name}.{setting}", of_setting) for setting, of_setting in value.items()]
        elif is_group and name in MAIN:
            named += [] if value is None else [(f"{name}.{MAIN[name]}", value)]
        elif is_group:
            raise UserError(f"{name}={value!r}: is a group of settings: give a mapping of {', '.join(config[name])}")
        else:
            named.append((name, value))
    return named


def _put(config: ConfigDict, values: Mapping[str, Any]) -> None:
    known, faults = flat(config), []
    for name, value in values.items():
        if name not in known:
            faults.append(f"{name}: no such setting{meant(name, known, prefix='')}")
            continue
        try:
            config.update_from_flattened_dict({name: value})
        except (TypeError, ValueError):
            faults.append(f"{name}={value!r}: must be {kind_of(config, name)}")
    if faults:
        raise UserError("; ".join(faults))
