"""The routes of the server: `/v1/models`, `/v1/completions`, `/v1/chat/completions` and `/v1/score`.

Starlette's web framework serves them. Whatever is wrong with a request is answered with a status of 4xx and OpenAI's error
object; a disk or store that fails is a 503. Whoever hangs up is not computed for, if their turn has not come.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from remid_jax.errors import UserError
from remid_jax.files import parse_json
from remid_jax.scoring import requests as scored
from remid_jax.scoring.request_lines import RequestLines
from remid_jax.scoring.score import answers_of
from remid_jax.serving import answers
from remid_jax.serving.bodies import ChatCompletion, Completion, Scoring, read_body
from remid_jax.serving.completing import check_prompts, choices, wish_of
from remid_jax.serving.refusals import Refusal, refused, wrong
from remid_jax.serving.served import Served

LOG = logging.getLogger("uvicorn.error")  # what is said there is shown
LARGEST_BODY = 10_000_000  # bytes: bodies of so many are refused
MOST_UNREAD = 10 * LARGEST_BODY  # bytes of such a body that are taken in, so that its sender gets to read the refusal
PATIENCE = 60.0  # seconds in which a body must be there
CLOSED = 499  # the status of an answer that nobody waits for
MAX_TOKENS = 16  # of a plain completion that does not say how many

Handler = Callable[[Served, Any], Coroutine[Any, Any, dict[str, Any]]]


def application(served: Served, token: str | None = None) -> Starlette:
    """Returns the server of one model; with a `token` only whoever sends it as a bearer is answered."""

    async def models(request: Request) -> Response:
        listed = {"id": served.name, "object": "model", "created": 0, "owned_by": "remid_jax"}
        return JSONResponse({"object": "list", "data": [listed]})

    def post(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            content = await _content(request)
            return await _unless_gone(request, handler(served, content))

        return endpoint

    def admitted(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            sent = request.headers.get("authorization", "")
            if token is not None and not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
                raise Refusal(401, "the token is missing or not the one of this server", "invalid_api_key")
            try:
                return await endpoint(request)
            except (Refusal, UserError, HTTPException, ClientDisconnect):
                raise
            except Exception:  # a fault of ours; left to Starlette it would also end the client's connection
                LOG.exception("%s %s", request.method, request.url.path)
                return JSONResponse(refused("this server failed", "server_error", "internal_error"), 500)

        return guarded

    paths = {"/v1/completions": completions, "/v1/chat/completions": chat_completions, "/v1/score": score}
    routes = [Route(path, admitted(post(handler)), methods=["POST"]) for path, handler in paths.items()]
    refusals: Any = {Refusal: _refusal, UserError: _user_error, HTTPException: _no_route, ClientDisconnect: _closed}
    return Starlette(routes=[Route("/v1/models", admitted(models)), *routes], exception_handlers=refusals)


async def completions(served: Served, content: Any) -> dict[str, Any]:
    """Answers `/v1/completions`."""
    body = read_body(Completion, content)
    _check_model(served, body.model)
    max_tokens = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    wish = wish_of(served, body, body.logprobs is not None, max_tokens, body.echo)

    def encoded() -> list[list[int]]:
        return [served.tokenizer.encode_prompt(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompt]

    prompts = await served.read(encoded)
    check_prompts(served, prompts, wish)
    made = await choices(served, prompts, wish)

    def answered() -> dict[str, Any]:
        tokenizer, texts = served.tokenizer, None
        if body.echo:
            texts = [prompt if isinstance(prompt, str) else tokenizer.decode(prompt) for prompt in body.prompt]
        return answers.completion(served.name, tokenizer, made, texts, body.logprobs == 1)

    return await served.read(answered)


async def chat_completions(served: Served, content: Any) -> dict[str, Any]:
    """Answers `/v1/chat/completions`."""
    body = read_body(ChatCompletion, content)
    _check_model(served, body.model)
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise wrong("max_tokens: stands beside max_completion_tokens, leave one out")
    given = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    wish = wish_of(served, body, body.logprobs, given[0] if given else served.limits.max_new)
    messages = [{"role": message.role, "content": message.content} for message in body.messages]
    prompt = await served.read(served.tokenizer.encode_chat, messages)
    check_prompts(served, [prompt], wish)
    made = await choices(served, [prompt], wish)
    return await served.read(answers.chat_completion, served.name, served.tokenizer, made, body.top_logprobs == 1)


async def score(served: Served, content: Any) -> dict[str, Any]:
    """Answers `/v1/score`: {"results": [what `experiments.score` writes of a line, ...]}, in the order of the lines."""
    body = read_body(Scoring, content)
    if body.model is not None:
        _check_model(served, body.model)

    def read() -> list[tuple[str | int, scored.Request]]:
        lines = RequestLines(body.requests)
        for _ in lines.check(served.model):
            pass
        return list(lines.requests(served.model))

    named = await served.read(read)
    most = served.limits.max_prompt + served.limits.max_new
    for name, request in named:
        length = len(request.prefix) + max((len(continuation.ids) for continuation in request.continuations), default=0)
        if length > most:
            raise wrong(f"request {name!r}: {length} tokens are more than the {most} that this server takes: shorten it")
    rows = await served.score([request for _, request in named])
    return {"results": [answers_of(name, own).line() for (name, _), own in zip(named, rows, strict=True)]}


def _check_model(served: Served, name: str) -> None:
    if name != served.name:
        raise Refusal(404, f"model {name!r} is not served here: ask for {served.name!r}", "model_not_found")


async def _content(request: Request) -> Any:
    """The JSON value of the body."""
    pieces, size = [], 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                size += len(piece)
                if size < LARGEST_BODY:
                    pieces.append(piece)
                elif size < MOST_UNREAD:
                    pieces.clear()
                else:
                    break
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {PATIENCE:g} seconds", "timeout") from None
    if size >= LARGEST_BODY:
        raise Refusal(413, f"the body has {LARGEST_BODY:,} bytes or more: send less at once", "body_too_large")
    content, faults = await asyncio.to_thread(parse_json, b"".join(pieces))
    if faults:
        raise wrong(f"the body is no JSON: {'; '.join(faults[:5])}")
    return content


async def _unless_gone(request: Request, work: Coroutine[Any, Any, dict[str, Any]]) -> Response:
    """The answer; nothing where the client has hung up before it was made."""
    made, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({made, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not made.done():
            made.cancel()
    return JSONResponse(made.result()) if made.done() else Response(status_code=CLOSED)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refusal(request: Request, error: Refusal) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.body(), error.status, headers)


async def _user_error(request: Request, error: UserError) -> Response:
    if isinstance(error.__cause__, OSError | sqlite3.Error):  # a fault of this machine, which is told to nobody outside it
        LOG.error("%s", error)
        return JSONResponse(refused("the server cannot answer now: ask again later", "server_error", "unavailable"), 503)
    return JSONResponse(wrong(str(error)).body(), 400)


async def _no_route(request: Request, error: HTTPException) -> Response:
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(refused(message, "invalid_request_error", "not_found"), error.status_code, error.headers)


async def _closed(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=CLOSED)
