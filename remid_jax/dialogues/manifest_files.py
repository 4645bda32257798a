"""Manifests as people give them: a JSON file, a mapping, or the one that an error printed for them to fill in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import raise_all
from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest, manifest_faults
from remid_jax.dialogues.validated import Written, validated
from remid_jax.files import read_json

SUFFIX = ".manifest.json"


class _Category(Written):
    shift: str | None = None
    reference: str | None = None
    language: str | None = None


class _Manifest(Written):
    categories: dict[str, _Category]
    train: str | None = None


def read_manifest(source: str | Path | Mapping[str, Any] | Manifest) -> Manifest:
    """Returns the manifest of a JSON file, or of its content as a mapping: {"categories": {name: {...}}, "train": tag}.

    Raises:
      UserError: one line with every fault: unknown keys, values of another kind, and those of `manifest_faults`.
    """
    if isinstance(source, Manifest):
        return source
    faults: list[str] = []
    place = "manifest" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_json(source, faults)
    raise_all(faults)
    written = validated(_Manifest, content, faults)
    if written is not None:
        categories = {name: Category(name, **dict(category)) for name, category in written.categories.items()}
        faults += manifest_faults(categories, written.train)
    raise_all([f"{place}: {fault}" for fault in faults])
    assert written is not None
    return Manifest(categories, written.train)


def manifest_beside(source: str | Path) -> Path | None:
    """Returns the manifest that lies beside a file, NAME.manifest.json of NAME.jsonl, NAME.json or either with .gz, if any."""
    path = _beside(source)
    return path if path.is_file() else None


def unfilled_manifest(tags: Iterable[str], source: str | Path | None) -> str:
    """Returns what to do about tags that no manifest explains: the manifest to write, and what to fill in.

    What RPGBench's own tags mean is filled in already. `source` is the file that they stand in, None for records in memory.
    """
    tags = list(dict.fromkeys(tags))
    train = next((tag for tag in tags if tag == RPGBENCH.train or tag.lower() in ("train", "training")), None)
    empty = {"shift": None, "reference": None, "language": None}
    known = RPGBENCH.to_json()["categories"]
    usable = {name: of for name, of in known.items() if of["reference"] is None or of["reference"] in tags}
    manifest: dict[str, Any] = {"categories": {tag: usable.get(tag, empty) for tag in tags if tag != train}}
    if train is not None:
        manifest["train"] = train
    where = "pass manifest=" if source is None else f"save as {_beside(source)} "
    return (
        f'{where}{json.dumps(manifest, ensure_ascii=False)}, where a category that shifted has a "shift" (any name) and its '
        '"reference" (the category it is compared with), and "language" is the BCP 47 tag of its texts (such as "fr") or null'
    )


def _beside(source: str | Path) -> Path:
    name = str(source).removesuffix(".gz")
    return Path(name.removesuffix(".jsonl").removesuffix(".json") + SUFFIX)
