"""The file that describes endpoints: `{"NAME": {"base_url": ..., "model": ..., "key": "VARIABLE", ...}}`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.dialogues.validated import Written, validated
from remid_jax.errors import UserError
from remid_jax.files import read_json

PREFIX = "endpoint:"
NO_KEY = "none"  # what a server gets that wants no key
_Count = Annotated[int, Field(ge=1)]
_Money = Annotated[float, Field(ge=0)]


class Price(Written):
    """Money for a million tokens of prompts and of replies, in any currency."""

    prompt: _Money
    completion: _Money


class Description(Written):
    """An endpoint as a person describes it.

    Attributes:
      base_url: of the server, up to the part before `/chat/completions`.
      model: as the server calls it.
      key: the environment variable that holds the key; None of a server that wants none.
      concurrency: requests under way at once.
      timeout: seconds without a sign of the server, after which a request is tried again.
      retries: how often.
      price: for the cap, and for the account of the costs.
      cap: money that the replies of a run may cost, those of its earlier attempts among them.
      cap_tokens: the same in tokens.
      body: more fields of a request, such as {"reasoning_effort": "low"}; null leaves one of ours out.
    """

    base_url: str
    model: str
    key: str | None = None
    concurrency: _Count = 4
    timeout: Annotated[float, Field(gt=0)] = 120.0
    retries: Annotated[int, Field(ge=0)] = 6
    price: Price | None = None
    cap: _Money | None = None
    cap_tokens: _Count | None = None
    body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port  # raises on a port that is none
        except ValueError:
            raise ValueError("must be an address such as https://api.example.com/v1") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://api.example.com/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError('holds a user, a password or a query: name in "key" the environment variable of the key')
        return value.rstrip("/")

    @field_validator("key")
    @classmethod
    def _is_variable(cls, value: str | None) -> str | None:
        if value is not None and not value.isidentifier():  # the value itself may be a key by mistake: it is not shown
            raise ValueError("must be the name of an environment variable, such as MY_API_KEY, never the key itself")
        return value

    @model_validator(mode="after")
    def _can_be_capped(self) -> Description:
        if self.cap is not None and self.price is None:
            raise ValueError('a "cap" needs a "price" of a million tokens: {"prompt": ..., "completion": ...}')
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the replies: who is asked for what."""
        return {"base_url": self.base_url, "model": self.model, "body": self.body}

    @property
    def fingerprint(self) -> str:
        """sha256 of the identity; of the weights behind it nothing is known."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()


def is_endpoint(source: str) -> bool:
    """Whether what stands where a model is named is an endpoint: "endpoint:NAME"."""
    return source.startswith(PREFIX)


def read_description(source: str, path: str | Path | None) -> Description:
    """Returns what the file says of the endpoint that `source` names, "endpoint:NAME".

    Raises:
      UserError: if there is no file, it holds no such endpoint, or one of its endpoints is faulty: every fault in one line.
    """
    if not path:
        raise UserError(f"{source}: nobody says where it is: give --config.endpoints=FILE.json (docs/endpoints.md)")
    faults: list[str] = []
    content = read_json(path, faults)
    raise_all(faults)
    if not isinstance(content, dict):
        raise UserError(f'{path}: is not a JSON object: write {{"NAME": {{"base_url": ..., "model": ...}}}}')
    known: dict[str, Description] = {}
    for name, written in content.items():
        wrong: list[str] = []
        described = validated(Description, written, wrong)
        faults += [f"{path}: {name}{'' if fault.startswith(':') else '.'}{fault}" for fault in wrong]
        if described is not None:
            known[name] = described
    raise_all(faults)
    name = source.removeprefix(PREFIX)
    if name not in known:
        raise UserError(f"{path}: has no endpoint {name!r}{meant(name, known)}: it has {', '.join(known) or 'none'}")
    return known[name]


def key_of_server(description: Description, source: str) -> str:
    """Returns the key that the environment holds, which nobody may show or keep.

    Raises:
      UserError: if it holds none, or one that cannot be sent.
    """
    if description.key is None:
        return NO_KEY
    key = os.environ.get(description.key, "")
    if not key.strip():
        raise UserError(f"{source}: the environment has no {description.key}: export it with the key of {description.base_url}")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise UserError(
            f"{source}: {description.key} in the environment holds spaces, line ends or other signs that no key has"
        )
    return key
