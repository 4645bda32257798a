"""What a comparison of many parts has found: a part that stands in its JSON file is done, wherever it was computed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from remid_jax import program
from remid_jax.errors import UserError
from remid_jax.files import read_object

NOT_RUN = "not run"
Part = tuple[str, ...]


class Findings:
    """The findings of `parts`, {where a part stands in the file: all settings it depends on}.

    Raises:
      UserError: if the file is broken, or holds a part of other settings or none of `parts`: it would be lost.
    """

    def __init__(self, path: str | Path, parts: Mapping[Part, ConfigDict]):
        self._revision = program.git_revision()
        self._configs = {
            part: hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest() for part, config in parts.items()
        }
        self._found = dict(_findings(_read(path)))
        if other := ["/".join(part) for part, found in self._found.items() if found["config"] != self._configs.get(part)]:
            raise UserError(
                f"{path}: holds what this config does not ask for or asks for otherwise: {', '.join(other)}: name another "
                "config.output, or delete that from the file"
            )

    def __contains__(self, part: Part) -> bool:
        return part in self._found

    def add(self, part: Part, found: Mapping[str, Any]) -> None:
        """What was found of a part, by the commit this began with."""
        self._found[part] = {"config": self._configs[part], "git_revision": self._revision, **found}

    def under(self, *names: str) -> dict[str, Any]:
        """The parts below a place, nested as in the file; those that are not done are marked so."""
        tree: dict[str, Any] = {}
        for part in self._configs:
            if part[: len(names)] == names:
                *path, last = part[len(names) :]
                at = tree
                for name in path:
                    at = at.setdefault(name, {})
                at[last] = self._found.get(part, NOT_RUN)
        return tree


def _read(path: str | Path) -> Any:
    return read_object(path, "mend it, or name another config.output") if Path(path).is_file() else {}


def _findings(tree: Any, at: Part = ()) -> Iterator[tuple[Part, dict[str, Any]]]:
    if isinstance(tree, dict):
        if at and {"config", "git_revision"} <= tree.keys():
            yield at, tree
        else:
            for name, below in tree.items():
                yield from _findings(below, (*at, name))
