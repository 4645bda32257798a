"""What a run is: all that its numbers depend on, and nothing else.

Two runs are the same if they have the same settings, the same contents of their inputs and the same versions of our protocol
and kernel. Where they run, in which folders, and how often they save or show something makes no other run of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from remid_jax.errors import UserError
from remid_jax.settings import flat

# The one table of settings that change no number. A setting or a group of settings, wherever it stands in a config.
WITHOUT_EFFECT = frozenset(
    {
        "devices", "parallel", "workers",  # where it is computed
        "endpoints",  # the file: what it says of an endpoint that is named is a content
        "workdir", "store", "output", "page",  # where things are kept
        "save_every", "show_every", "keep_every", "first_look",  # how often, and how early, they are
    }
)  # fmt: skip
NOT_SET = "not set"


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the numbers of a run depend on, made by `identify`.

    `settings` are values by dotted name; `contents` are fingerprints of inputs, `versions` those of ours that change numbers.
    `paths` say where inputs with contents were read, for people: an input that has moved is still the same.
    """

    settings: Mapping[str, object]
    contents: Mapping[str, str]
    versions: Mapping[str, object]
    paths: Mapping[str, str]

    @property
    def key(self) -> str:
        """sha256 over settings, contents and versions: equal if and only if the runs are the same."""
        numbers_depend_on = [dict(self.settings), dict(self.contents), dict(self.versions)]
        return hashlib.sha256(json.dumps(numbers_depend_on, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Returns the identity as a JSON object, to be kept beside a run: {"settings", "contents", "versions", "paths"}."""
        return {field.name: dict(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, saved: object) -> Identity:
        """Reads what `as_json` gave.

        Raises:
          UserError: if it is something else.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(saved, Mapping) or not all(isinstance(saved.get(name), Mapping) for name in names):
            raise UserError(
                "this run was begun by a version that kept no such account of its settings, so nobody can tell whether they "
                "are these: name another folder"
            )
        return cls(**{name: dict(saved[name]) for name in names})

    def differences(self, other: Identity) -> list[str]:
        """Lists what `other` has otherwise than this run: each setting with both values, this run's first; never a hash."""
        settings = _changed(self.settings, other.settings)
        versions = [f"the version of the {change}" for change in _changed(self.versions, other.versions)]
        inputs, derived = [], []
        for name in sorted({**self.contents, **other.contents}):
            if self.contents.get(name) != other.contents.get(name):
                if name in self.paths or name in other.paths:
                    inputs.append(self._changed_input(name, other))
                else:
                    derived.append(f"the content of {name}")
        # What is made of inputs and settings differs if they do, and then says nothing more.
        return settings + inputs + versions or derived

    def differs_in_place(self, other: Identity) -> bool:
        """Returns whether `other` differs in inputs that stand at the same places with another content, and in nothing else."""
        changed = {name for name in {**self.contents, **other.contents} if self.contents.get(name) != other.contents.get(name)}
        same = (self.settings, self.versions) == (other.settings, other.versions)
        in_place = all(self.paths.get(name) == other.paths.get(name) is not None for name in changed)
        return bool(changed) and same and in_place

    def _changed_input(self, name: str, other: Identity) -> str:
        moved = _changed({name: self.paths.get(name)}, {name: other.paths.get(name)})
        return moved[0] if moved else f"the content of {name} ({self.paths[name]!r})"


def identify(config: Mapping[str, object], contents: Mapping[str, str | None], versions: Mapping[str, object]) -> Identity:
    """Returns what a run of `config` is.

    Args:
      config: settings, nested.
      contents: fingerprints of all inputs (see `remid_jax.models.fingerprints`), None for an input that is not there. An input
        that a setting names goes by that setting's dotted name, such as "policy.adapter": its content then counts instead of
        the setting's value. Other names are for what is made of inputs, such as "records".
      versions: what of our own numbers depend on, such as {"protocol": "1", "kernel": 5}.
    """
    settings = {name: value for name, value in flat(config).items() if not _without_effect(name)}
    return Identity(
        settings={name: _plain(value) for name, value in settings.items() if _is_set(value) and name not in contents},
        contents={name: content for name, content in contents.items() if content is not None},
        versions={name: _plain(version) for name, version in versions.items()},
        paths={name: str(settings[name]) for name in contents if settings.get(name) and contents[name] is not None},
    )


def check_same(saved: Identity, now: Identity, holder: str, mend: str) -> None:
    """Raises UserError of one line if `now` is another run than the `saved` one.

    The line is "`holder` holds a run that differs in learning_rate (0.1 -> 0.2): `mend`".
    """
    if saved.key != now.key:
        raise UserError(f"{holder} holds a run that differs in {', '.join(saved.differences(now))}: {mend}")


def _without_effect(name: str) -> bool:
    return not WITHOUT_EFFECT.isdisjoint(name.split("."))


def _is_set(value: object) -> bool:
    """None and what is empty say nothing: so a setting that a later version adds, and that is off, makes no other run."""
    return value is not None and not (isinstance(value, Sequence) and not value)


def _plain(value: object) -> Any:
    """The value as JSON gives it back; 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    # As JSON, since True == 1 in Python.
    names = sorted(name for name in {**before, **after} if json.dumps(before.get(name)) != json.dumps(after.get(name)))
    return [f"{name} ({_shown(before.get(name))} -> {_shown(after.get(name))})" for name in names]


def _shown(value: object) -> str:
    return NOT_SET if value is None else repr(value)
