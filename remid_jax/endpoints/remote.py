"""Any OpenAI-compatible server, through the `openai` library: its retries, backoff with jitter, Retry-After and timeouts.

The library tries again after time-outs, lost connections, and statuses 408, 409, 429 and 5xx. An answer that is no JSON, or no
chat's, is made to look like a lost connection, so that it is tried again, too. No key and no text of a server that refuses a
key comes into a message.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from remid_jax.endpoints.chat import Chat, ChatReply, Finish, Usage
from remid_jax.endpoints.descriptions import Description, key_of_server
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Unanswered
from remid_jax.errors import UserError

FINISHES: Mapping[str | None, Finish] = {"length": "length", "content_filter": "filtered"}
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, of which no file and no tokenizer can be made
SHOWN = 200  # characters of what a server says


class Remote:
    """A `Backend` behind an address; `source` is what messages call it.

    Raises:
      UserError: if the environment lacks the key, or the library is not installed.
    """

    def __init__(self, source: str, description: Description, ledger: Ledger):
        self._source, self._description, self._ledger = source, description, ledger
        self._openai, self._http = _library(source, "openai"), _library(source, "httpx2")
        self._key = key_of_server(description, source)
        hooks = {"request": [self._sends], "response": [self._check]}
        limits = self._http.Limits(max_connections=description.concurrency, max_keepalive_connections=description.concurrency)
        self._client = self._openai.OpenAI(
            api_key=self._key,
            base_url=description.base_url,
            timeout=description.timeout,
            max_retries=description.retries,
            http_client=self._openai.DefaultHttpxClient(event_hooks=hooks, limits=limits, timeout=description.timeout),
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        return self._description.identity

    def reply(self, chat: Chat, draw: int, key: str) -> ChatReply:
        fault: UserError | Unanswered
        try:
            answer = self._client.post(
                "/chat/completions",
                cast_to=object,
                body=self._body(chat, draw),
                # By default the library would also send an administrator's key that the environment happens to hold.
                options={"headers": {"Idempotency-Key": key}, "security": {"bearer_auth": True}},
            )
            return _read(answer)
        except self._openai.OpenAIError as error:
            fault = self._fault(error)
        # Outside of `except`, so that no trace of the library's error, which holds the server's words, hangs on ours.
        raise fault

    def _body(self, chat: Chat, draw: int) -> dict[str, Any]:
        sampling = chat.sampling
        body: dict[str, Any] = {
            "model": self._description.model,
            "messages": [dict(message) for message in chat.messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.temperature > 0:
            body |= {"top_p": sampling.top_p, "seed": sampling.seed + draw}
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.logprobs:
            body["logprobs"] = True
        return {name: value for name, value in (body | self._description.body).items() if value is not None}

    def _sends(self, request: Any) -> None:
        self._ledger.tried()

    def _check(self, response: Any) -> None:
        """Reads a whole answer; counts one that is none, and makes the library try again where it is not a chat's."""
        if not response.is_success:
            self._ledger.failed(f"status {response.status_code}")
            return
        try:
            response.read()
        except self._http.RequestError:
            self._ledger.failed("broken off")
            raise
        try:
            _read(response.json())
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            self._ledger.failed("no chat's answer")
            raise self._http.DecodingError("not the answer to a chat", request=response.request) from None

    def _fault(self, error: Exception) -> UserError | Unanswered:
        """What a person is told of an error that is left after all tries, or what a missing reply is counted as."""
        where, again = f"{self._source}: {self._description.base_url}", "run the same command again"
        if isinstance(error, self._openai.APIStatusError):
            return self._refused(error.status_code, error.response.text, where, again)
        cause = error.__cause__
        if isinstance(error, self._openai.APITimeoutError):
            self._ledger.failed("timed out")
            return Unanswered("it timed out")
        if isinstance(cause, self._http.DecodingError):
            return Unanswered("its answer is not the answer to a chat")
        if isinstance(cause, self._http.ConnectError):
            reason = " ".join(str(cause).split()) or type(cause).__name__
            return UserError(f'{where} cannot be reached ({reason}): check its "base_url" and the network, then {again}')
        if cause is not None:
            return Unanswered("its answer broke off")
        return UserError(f"{where} cannot be asked ({type(error).__name__}): check its description")

    def _refused(self, status: int, text: str, where: str, again: str) -> UserError | Unanswered:
        key, model = self._description.key, self._description.model
        if status in (401, 403) and key is None:
            return UserError(f'{where} wants a key (status {status}): name in "key" the environment variable that holds it')
        if status in (401, 403):
            return UserError(f"{where} refuses the key of {key} (status {status}): export one that it takes")
        if status == 404:
            return UserError(
                f'{where} knows no model {model!r} or is no such address (status 404): check "model" and "base_url"'
            )
        if status == 402:
            return UserError(f"{where} answers that no credit is left (status 402): what came is kept, {again} once there is")
        if status == 429:
            return UserError(
                f"{where} answers that there are too many requests or no credit is left (status 429): what came is kept, "
                f"{again} later"
            )
        said = _said(text)
        said = (said if key is None else said.replace(self._key, "***"))[:SHOWN]
        return Unanswered(f"it answered with status {status}{said and f' ({said})'}")


def _read(answer: Any) -> ChatReply:
    """The reply in an answer of a server; raises whatever Python does of one that has another form."""
    [choice, *_] = answer["choices"]
    message = choice["message"]
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str):
        raise TypeError
    told = choice.get("logprobs")
    content = told.get("content") if told else None
    return ChatReply(
        LONE_SURROGATE.sub("\ufffd", text),
        FINISHES.get(choice.get("finish_reason"), "stop"),
        _usage(answer.get("usage")),
        tuple(float(token["logprob"]) for token in content) if content else None,
    )


def _usage(told: Any) -> Usage | None:
    """What a server says of usage; None where it says it in another form, since the reply is good all the same."""
    try:
        return Usage(int(told["prompt_tokens"]), int(told["completion_tokens"]))
    except (TypeError, KeyError, ValueError):
        return None


def _said(text: str) -> str:
    """What a server says of its refusal, on one line."""
    try:
        said = json.loads(text)["error"]["message"]
    except (ValueError, TypeError, KeyError):
        said = text
    return " ".join(str(said).split())


def _library(source: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{source}: needs the package {name}: pip install 'remid-jax[endpoints]'") from error
