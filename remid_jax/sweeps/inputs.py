"""The contents of a point's inputs, by which its identity knows them; no weight is read for it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.construction.characters import read_personas
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.retrieval import SUFFIXES
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.dialogues.judge_prompts import JudgePrompts
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.readers.card_files import benchmark_files
from remid_jax.dialogues.reading import read_benchmark, read_training
from remid_jax.endpoints.descriptions import is_endpoint, read_description
from remid_jax.files import read_bytes
from remid_jax.identity import Identity, identify
from remid_jax.learning.inputs import reasoning_content
from remid_jax.models.loading import LanguageModel, open_model
from remid_jax.roles.pairs import read_pairs
from remid_jax.roles.shipped import policy_parts
from remid_jax.roles.training_runs import read_policy_adapter
from remid_jax.settings import flat
from remid_jax.sweeps.points import Point

Kind = Callable[[Any, Any], str]
"""Returns the fingerprint of an input, from the setting that names it and another by which it is read, if there is one."""

Inputs = Mapping[str, tuple[Any, ...]]
"""The settings of a task that name inputs: {setting: (its `Kind`, settings of which the first that is set says how it is
read)}."""


def model(source: str, endpoints: str | None) -> str:
    """Returns the fingerprint of a language model; of a policy that comes with the package, that of its adapter on its base; of
    one behind an endpoint, that of what the file `endpoints` says of it."""
    if is_endpoint(source):
        return read_description(source, endpoints).fingerprint
    base, shipped = policy_parts(source, None)
    return adapter(shipped, base) if shipped else _opened(base).fingerprint


def adapter(folder: str, base: str) -> str:
    """Returns the fingerprint of an adapter of the model `base`, in PEFT's files or of a training run."""
    return read_policy_adapter(folder, _opened(base)).fingerprint


def pairs(folder: str, base: str) -> str:
    """Returns the fingerprint of trained pairs of adapters of the model `base`."""
    return read_pairs(folder, _opened(base)).fingerprint


def prompts(folder: str | None, reader: None) -> str:
    """Returns the fingerprint of a folder of prompts; without one of ours, which may change, too."""
    return Prompts.load(folder).fingerprint


def judge_prompts(folder: str | None, reader: None) -> str:
    """Returns the fingerprint of a folder of a judge's prompts; without one of ours, too."""
    return JudgePrompts.load(folder).fingerprint


def construction_prompts(folder: str | None, reader: None) -> str:
    """Returns the fingerprint of a folder of prompts for building benchmarks; without one of ours, too."""
    return ConstructionPrompts.load(folder).fingerprint


def personas(path: str | None, reader: None) -> str:
    """Returns a hash of seed personas for building benchmarks; without a file of ours, too."""
    return hashlib.sha256(json.dumps(read_personas(path)).encode()).hexdigest()


def benchmark(source: str, reader: None) -> str:
    """Returns the fingerprint of the package's own benchmark, or a hash of a file with the manifest beside it and the character
    cards that its rows name, if any.

    What else decides how the file is read, such as a mapping, is an input of its own.
    """
    if source.startswith("package:"):
        return read_benchmark(source).fingerprint
    return hashlib.sha256(b"".join(map(read_bytes, benchmark_files(source)))).hexdigest()


def training_records(source: str, manifest: str | None) -> str:
    """Returns the fingerprint of a benchmark's IDTrain records, or of those that a manifest says are for training."""
    lines = [json.dumps(record.to_json(), sort_keys=True) for record in read_training(source, manifest=manifest)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def reasoning(source: str, reader: None) -> str:
    """Returns a hash of ready reasoning."""
    return reasoning_content(source)


def text(path: str, reader: None) -> str:
    """Returns a hash of a file's content."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def folder(path: str, reader: None) -> str:
    """Returns a hash of the names and contents of all texts in a folder and its subfolders."""
    digest = hashlib.sha256()
    for file in sorted(each for each in Path(path).rglob("*") if each.suffix in SUFFIXES and each.is_file()):
        digest.update(json.dumps([str(file.relative_to(path)), text(str(file), None)]).encode())
    return digest.hexdigest()


def dials(texts: Sequence[str], reader: None) -> str:
    """Returns a hash of dials, and of the files of edits that they name."""
    digest = hashlib.sha256()
    for dial in parse_dials(texts):
        digest.update(b"\n".join([str(dial).encode(), *map(read_bytes, dial.files)]))
    return digest.hexdigest()


OURS = (prompts, judge_prompts, construction_prompts, personas)
"""What the package's own is taken for where no setting names any."""


def identities(points: Sequence[Point], inputs: Mapping[str, Inputs], versions: Mapping[str, object]) -> dict[str, Identity]:
    """Returns what each point is, by name.

    An input that another point writes goes by what that point is: two runs of one identity count as the same.

    Args:
      points: in order (see `remid_jax.sweeps.points.ordered`).
      inputs: of each task.
      versions: of ours, on which all numbers depend.

    Raises:
      UserError: if an input cannot be read.
    """
    known: dict[str, Identity] = {}

    @functools.cache
    def content(kind: Kind, value: str | None, reader: str | None) -> str:
        return kind(value, reader)

    for point in points:
        settings = flat(point.config)
        contents: dict[str, str | None] = {name: f"{known[need].key}/{file}" for name, (need, file) in point.outputs().items()}
        for name, (kind, *readers) in inputs[point.task].items():
            value = settings.get(name) or None
            if name not in contents:
                reader = next((settings[reader] for reader in readers if settings.get(reader)), None)
                contents[name] = content(kind, value, reader) if value or kind in OURS else None
        known[point.name] = identify(point.config, contents, versions)
    return known


def _opened(source: str) -> LanguageModel:
    return open_model(source, "float32")
