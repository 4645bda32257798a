"""Trained estimators on disk: pairs of adapters (reasoner, responder) of one base, cross-fitted by lineage.

The folds are those of docs/protocol.md, rule 19.

FOLDER/NAME/reasoner/, FOLDER/NAME/responder/    an adapter each, in PEFT's files
FOLDER/manifest.json                             written last: what was trained on which base, and who has seen what

{"schema_version", "base": {"source", "fingerprint"},
 "pairs": [{"name", "fingerprints": {"reasoner", "responder"}, "seen": [lineage]}],
 "folds": {lineage: [names of the pairs that have not seen it]}, "about": {"protocol", ...}}
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.models.adapters import Adapter
from remid_jax.models.loading import LanguageModel
from remid_jax.models.peft_files import CONFIG, read_adapter, save_adapter
from remid_jax.roles.shipped import folder_of
from remid_jax.roles.training_runs import checkpoint_of, folder_of_kind

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ROLES = ("reasoner", "responder")
NAMED = 6  # records in an error line
Protocol = Literal["cross_fitted", "in_sample"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A reasoner and a responder trained together; `seen` are the origins of the records they were trained on."""

    name: str
    reasoner: Adapter
    responder: Adapter
    seen: frozenset[str]

    def described(self) -> dict[str, Any]:
        """The pair's entry in the manifest."""
        fingerprints = {role: getattr(self, role).fingerprint for role in ROLES}
        return {"name": self.name, "fingerprints": fingerprints, "seen": sorted(self.seen)}


@dataclasses.dataclass(frozen=True)
class Pairs:
    """An estimator: "cross_fitted", each pair scores what it has not seen, or "in_sample", every pair scores everything."""

    pairs: tuple[Pair, ...]
    protocol: Protocol
    base: str  # the fingerprint of the base model

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over the base, the protocol, and every pair's name, adapters and lineages."""
        described = [self.base, self.protocol, [pair.described() for pair in self.pairs]]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    def scorers(self, record: Record) -> tuple[str, ...]:
        """The names of the pairs that may score a record: those that have seen neither its lineage nor any of its clusters."""
        return tuple(pair.name for pair in self.pairs if self.protocol == "in_sample" or not record.origins & pair.seen)


def scored_by(pairs: Pairs, records: Sequence[Record]) -> dict[str, frozenset[str]]:
    """For each pair, by name, the ids of the records that it may score.

    Raises:
      UserError: if every pair has seen the lineage of a record; such records are named.
    """
    scorers = {record.id: pairs.scorers(record) for record in records}
    overlap = [f"{record.id} (lineage {record.lineage})" for record in records if not scorers[record.id]]
    if overlap:
        more = f" and {len(overlap) - NAMED} more" if len(overlap) > NAMED else ""
        raise UserError(
            f"config.estimator.adapters: every pair was trained on the lineage of {', '.join(overlap[:NAMED])}{more}: "
            "leave these records out, or give pairs of which one has not seen them"
        )
    return {pair.name: frozenset(name for name, allowed in scorers.items() if pair.name in allowed) for pair in pairs.pairs}


def save_pairs(
    folder: str | Path, pairs: Sequence[Pair], model: LanguageModel, about: Mapping[str, object], dtype: str = "bfloat16"
) -> None:
    """Writes the pairs of `model` for `read_pairs`; `about` holds "protocol" (see `Pairs`), and whatever tells how they came
    to be.

    Raises:
      UserError: for another protocol, no pair, or names that are not distinct names of folders.
    """
    folder, names = Path(folder), [pair.name for pair in pairs]
    if about.get("protocol") not in get_args(Protocol):
        raise UserError(f"{folder}: protocol {about.get('protocol')!r}: choose one of {', '.join(get_args(Protocol))}")
    if not names or len(set(names)) < len(names) or not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        listed = ", ".join(names) or "nothing"
        raise UserError(f"{folder}: pairs named {listed}: give each a name of its own, of letters and digits")
    for pair in pairs:
        save_pair(folder, pair, model, dtype)
    write_manifest(folder, {pair.name: pair.seen for pair in pairs}, model, about)


def save_pair(folder: Path, pair: Pair, model: LanguageModel, dtype: str = "bfloat16") -> None:
    """Writes the adapters of one pair of `model`; with the others there, `write_manifest` makes an estimator of the folder."""
    for role in ROLES:
        save_adapter(folder / pair.name / role, getattr(pair, role), model, dtype)


def has_pair(folder: Path, name: str) -> bool:
    """Returns whether `save_pair` has written the pair of that name, to its end."""
    return (folder / name / ROLES[-1] / CONFIG).is_file()


def write_manifest(folder: Path, seen: Mapping[str, frozenset[str]], model: LanguageModel, about: Mapping[str, object]) -> None:
    """Writes the manifest of the pairs that are saved in `folder`; `seen` are the origins of each by name, `about` as of
    `save_pairs`."""
    pairs = [_read_pair(folder, name, origins, model) for name, origins in seen.items()]  # rounded, as all readers find them
    lineages = sorted(frozenset().union(*seen.values()))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "base": {"source": model.source, "fingerprint": model.fingerprint},
        "pairs": [pair.described() for pair in pairs],
        "folds": {lineage: [name for name, origins in seen.items() if lineage not in origins] for lineage in lineages},
        "about": dict(about),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_pairs(folder: str | Path, model: LanguageModel) -> Pairs:
    """The pairs in `folder`, in the folder NAME of this room for "package:NAME", or of a training run (see `checkpoint_of`).

    Raises:
      UserError: as `checkpoint_of`, and if the run trained no estimator; if the manifest is missing, broken, of another schema
        or of another base than `model`, or if an adapter is missing, broken, or not the one that the manifest names.
    """
    checkpoint = checkpoint_of(folder)
    path = folder_of(folder) if checkpoint is None else folder_of_kind(checkpoint, "estimator", folder)
    manifest = _read_manifest(path / MANIFEST)
    if manifest["base"]["fingerprint"] != model.fingerprint:
        raise UserError(
            f"{path / MANIFEST}: its adapters are of {manifest['base']['source']} ({manifest['base']['fingerprint'][:12]}), "
            f"not of {model.source} ({model.fingerprint[:12]}): name that base as config.estimator.model, "
            "or leave config.estimator.adapters empty"
        )
    pairs = []
    for described in manifest["pairs"]:
        pair = _read_pair(path, described["name"], frozenset(described["seen"]), model)
        if pair.described()["fingerprints"] != described.get("fingerprints"):
            raise UserError(f"{path / pair.name}: its adapters are not those of {MANIFEST}: save the pairs again")
        pairs.append(pair)
    return Pairs(tuple(pairs), manifest["about"]["protocol"], model.fingerprint)


def _read_pair(folder: Path, name: str, seen: frozenset[str], model: LanguageModel) -> Pair:
    reasoner, responder = (read_adapter(folder / name / role, model) for role in ROLES)
    return Pair(name, reasoner, responder, seen)


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, of the form of the module docstring as far as it is read."""
    manifest = read_object(path, "save the pairs again")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {version!r}, not {SCHEMA_VERSION}: save the pairs with this version")
    if fault := _fault(manifest):
        raise UserError(f"{path}: {fault}: save the pairs again")
    return manifest


def _fault(manifest: Mapping[str, object]) -> str | None:
    base, about, pairs = (manifest.get(key) for key in ("base", "about", "pairs"))
    if not isinstance(base, dict) or not all(isinstance(base.get(key), str) for key in ("source", "fingerprint")):
        return "base has no source and fingerprint"
    if not isinstance(about, dict) or about.get("protocol") not in get_args(Protocol):
        return f"about has no protocol, one of {', '.join(get_args(Protocol))}"
    if not isinstance(pairs, list) or not pairs:
        return "holds no pairs"
    for number, pair in enumerate(pairs):
        if not isinstance(pair, dict) or not isinstance(pair.get("name"), str) or not isinstance(pair.get("seen"), list):
            return f"pairs[{number}] has no name and seen"
    return None
