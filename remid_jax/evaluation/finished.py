"""Whether an evaluation is finished and nothing has changed since, as `make` asks it: then there is nothing to do.

finished.json of a workdir says which run its files are of (`remid_jax.identity`), with the sha256 of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import remid_jax
from remid_jax import program
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.dialogues.readers.card_files import benchmark_files
from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.identity import Identity, identify
from remid_jax.models.fingerprints import file_digest
from remid_jax.models.loading import located
from remid_jax.roles.reading import Reading
from remid_jax.roles.shipped import PREFIX, folder_of, policy_parts
from remid_jax.roles.training_runs import ACCOUNT, checkpoint_of
from remid_jax.settings import flat

FINISHED = "finished.json"
PACKAGE = Path(remid_jax.__file__).parent
"""All its files count: the versions of protocol and kernel stand there, and whatever of ours a setting names."""


def identity_of(config: ConfigDict, reading: Reading) -> Identity | None:
    """Returns what the files of a run depend on; None where only running it tells: an endpoint answers, or an input is missing.

    That is more than its numbers depend on: files show every setting, and which program and libraries made them.
    """
    if is_endpoint(str(config.policy.model)) or jax.process_count() > 1:  # hosts may differ in what they find
        return None
    settings = flat(config)
    try:
        contents = {name: digest(files(settings[name])) for name, files in INPUTS.items() if settings.get(name)}
    except (OSError, UserError):
        return None  # the run itself says what is wrong
    shown = {"config": hashlib.sha256(config.to_json().encode()).hexdigest(), "day": reading["date"].isoformat()}
    return identify(config.to_dict(), contents | shown, _versions())


def is_finished(workdir: Path, identity: Identity) -> bool:
    """Returns whether the files in `workdir` are those that a run of this identity wrote, all and unchanged."""
    with contextlib.suppress(OSError, UserError, KeyError, TypeError, AttributeError):
        account = read_object(workdir / FINISHED, "evaluate again")
        if Identity.from_json(account["identity"]).key == identity.key:
            return all(file_digest(workdir / name) == content for name, content in account["outputs"].items())
    return False


def keep(workdir: Path, identity: Identity, outputs: Iterable[Path]) -> None:
    """Writes that the run of this identity has come to its end, and wrote `outputs` in `workdir`.

    Raises:
      UserError: if it cannot be written.
    """
    contents = {str(path.relative_to(workdir)): file_digest(path) for path in outputs}
    write_text(workdir / FINISHED, json.dumps({"identity": identity.as_json(), "outputs": contents}, indent=1) + "\n")


def digest(paths: Iterable[Path]) -> str:
    """Returns a sha256 over the names and contents of files and of all files in folders, but for hidden and compiled ones.

    Raises:
      OSError: if one is not there, or is no file: what a pipe holds can be read once.
    """
    found = hashlib.sha256()
    for path in paths:
        for file in sorted(filter(Path.is_file, path.rglob("*"))) if path.is_dir() else [path]:
            if not file.is_file():
                raise FileNotFoundError(file)
            if not any(part.startswith((".", "__pycache__")) for part in file.relative_to(path).parts):
                found.update(json.dumps([os.fspath(file), file_digest(file)]).encode())
    return found.hexdigest()


def _versions() -> dict[str, Any]:
    libraries = sorted(f"{found.name} {found.version}" for found in importlib.metadata.distributions())
    return {
        **program.described(),
        "package": digest([PACKAGE]),
        "libraries": [f"python {platform.python_version()}", *libraries],
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "environment": sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))),
    }


def _file(path: str) -> Sequence[Path]:
    return [Path(path)]


def _benchmark(source: str) -> Sequence[Path]:
    if source.startswith(PREFIX):
        return []  # in the package
    return benchmark_files(source) if Path(source).is_file() else [Path(source)]


def _dials(texts: Sequence[str]) -> Sequence[Path]:
    return [file for dial in parse_dials(texts) for file in dial.files]


def _model(source: str) -> Sequence[Path]:
    return [located(source)]


def _trained(source: str) -> Sequence[Path]:
    checkpoint = checkpoint_of(source)
    return [checkpoint.run.folder / ACCOUNT, checkpoint.folder] if checkpoint else [folder_of(source)]


def _policy(source: str) -> Sequence[Path]:
    (base, adapter), checkpoint = policy_parts(source, None), checkpoint_of(source)
    return [*_model(base), *(_trained(adapter) if adapter else ()), *([checkpoint.run.folder / ACCOUNT] if checkpoint else ())]


INPUTS: Mapping[str, Callable[[Any], Sequence[Path]]] = {
    "benchmark.source": _benchmark,
    "benchmark.manifest": _file,
    "benchmark.mapping": _file,
    "benchmark.character": _file,
    "benchmark.dials": _dials,
    "prompts": _file,
    "estimator.model": _model,
    "estimator.adapters": _trained,
    "estimator.reasoning": _file,
    "policy.model": _policy,
    "policy.adapter": _trained,
    "policy.replies": _file,
    "embedding.model": _model,
}
"""The files and folders that each setting names."""
