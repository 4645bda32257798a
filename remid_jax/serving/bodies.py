"""What clients send: the bodies of `/v1/completions`, `/v1/chat/completions` and `/v1/score`, checked by pydantic.

A field that OpenAI has and this server has not is refused, unless its value asks for nothing; so nobody gets another answer
than the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from remid_jax.dialogues.validated import Written, validated
from remid_jax.serving.refusals import wrong

NOTHING_ASKED: Mapping[str, tuple[Any, ...]] = {
    "stream": (False,),
    "stream_options": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "best_of": (1,),
    "logit_bias": ({},),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "tools": ([],),
}
"""Fields of OpenAI's that are not offered, with the values that ask for nothing; null always does."""
UNREAD = ("user", "metadata", "store")  # fields that change no answer
MOST_PROMPTS, MOST_DRAWS, MOST_STOPS = 2048, 128, 16


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(i) is int and i >= 0 for i in value)


def _prompts(value: Any) -> list[Any]:
    """The prompts of a body, each a text or token ids."""
    prompts = [value] if isinstance(value, str) or _are_ids(value) else value
    if not isinstance(prompts, list) or not 0 < len(prompts) <= MOST_PROMPTS:
        raise ValueError("must be a text, token ids, or a list of up to 2048 of either")
    if not all(prompt if isinstance(prompt, str) else _are_ids(prompt) for prompt in prompts):
        raise ValueError("must be a text that is not empty, token ids, or a list of either")
    return prompts


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(stop, str) for stop in stops):
        raise ValueError("must be a text or a list of up to 16 texts")
    return tuple(stop for stop in stops if stop)


def _joined(content: Any) -> Any:
    """The text of a content that is given in pieces."""
    pieces = content if isinstance(content, list) else None
    if pieces and all(
        isinstance(piece, dict) and set(piece) == {"type", "text"} and piece["type"] == "text" for piece in pieces
    ):
        return "".join(str(piece["text"]) for piece in pieces)
    return content


class Sampled(Written):
    """What both kinds of completions may ask of a reply; `top_k` and `repetition_penalty` are those of other servers."""

    model: str
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    n: Annotated[int, Field(ge=1, le=MOST_DRAWS)] = 1
    stop: Annotated[Any, AfterValidator(_stops)] = ()
    seed: int | None = None


class Completion(Sampled):
    """A body of `/v1/completions`; `logprobs` 0 or 1 also wants those of the tokens, 1 the likeliest token's, too."""

    prompt: Annotated[Any, AfterValidator(_prompts)]
    logprobs: Annotated[int, Field(ge=0, le=1)] | None = None
    echo: bool = False


class ChatMessage(Written):
    """A message; `type` and `name` are not read."""

    role: str
    content: Annotated[str, BeforeValidator(_joined)]
    type: str | None = None
    name: str | None = None


class ChatCompletion(Sampled):
    """A body of `/v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=1)] = 0


class Scoring(Written):
    """A body of `/v1/score`: lines of `experiments.score`."""

    requests: Annotated[list[Any], Field(min_length=1)]
    model: str | None = None


Body = TypeVar("Body", bound=Written)


def read_body(kind: type[Body], content: Any) -> Body:
    """Returns the body that the JSON value `content` stands for.

    Raises:
      Refusal: of status 400, with everything that is wrong with it.
    """
    if not isinstance(content, dict):
        raise wrong("the body must be a JSON object")
    given = {name: value for name, value in content.items() if value is not None and name not in UNREAD}
    absent = [name for name in given if name in NOTHING_ASKED and name not in kind.model_fields]
    faults = [f"{name}: not offered here, leave it out" for name in absent if given[name] not in NOTHING_ASKED[name]]
    body = validated(kind, {name: value for name, value in given.items() if name not in absent}, faults)
    if faults or body is None:
        raise wrong("; ".join(faults))
    return body
