"""The chat protocol: what is asked of a model that answers chats, wherever it runs, and what comes back."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from remid_jax.errors import UserError
from remid_jax.progress import Advance

Message = Mapping[str, str]
Finish = Literal["stop", "length", "filtered"]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How replies are drawn.

    Attributes:
      max_tokens: of a reply at most.
      temperature: 0 takes the likeliest token.
      top_p: draws come from the likeliest tokens that have this probability together.
      stop: a reply ends before the first of these texts.
      seed: makes draws at a temperature above 0 repeatable, where the model's host heeds it.
      logprobs: whether the log-probabilities of a reply's tokens are wanted.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    logprobs: bool = False


@dataclasses.dataclass(frozen=True)
class Chat:
    """Messages, each with a role and a content, and `n` replies wanted to them."""

    messages: Sequence[Message]
    sampling: Sampling
    n: int = 1


@dataclasses.dataclass(frozen=True)
class Usage:
    """Tokens of a prompt, and of the reply to it, as they are paid for."""

    prompt: int
    completion: int


@dataclasses.dataclass(frozen=True)
class ChatReply:
    """A reply: its text, why it ended, and where the host says them, its usage and its tokens' log-probabilities, nats."""

    text: str
    finish: Finish
    usage: Usage | None = None
    logprobs: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Missing:
    """Stands for a reply that did not come after all tries: why, in a few words."""

    why: str


class Endpoint(Protocol):
    """Whoever answers chats: a model here, a server anywhere, or canned replies."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def ask(self, chats: Sequence[Chat], report: Advance) -> list[list[ChatReply | Missing]]:
        """Returns the replies to each chat, [chat][draw]; `report` is told how many came, and of how many that nobody had.

        Raises:
          UserError: if nobody would answer any more; what came before is kept.
        """
        ...


def all_replies(endpoint: Endpoint, chats: Sequence[Chat], report: Advance) -> list[list[ChatReply]]:
    """Returns the replies to each chat, [chat][draw], of an endpoint that must answer all of them.

    Raises:
      UserError: as `Endpoint.ask`, and if a reply is missing, with the count of each reason; the others are kept.
    """
    answers = endpoint.ask(chats, report)
    reasons = collections.Counter(reply.why for replies in answers for reply in replies if isinstance(reply, Missing))
    check_missing(endpoint.name, reasons, sum(map(len, answers)))
    return [[reply for reply in replies if isinstance(reply, ChatReply)] for replies in answers]


def check_missing(name: str, reasons: Mapping[str, int], count: int) -> None:
    """Refuses replies of the endpoint `name`, `count` of them, of which some are missing, {why: how many}.

    Raises:
      UserError: if one is.
    """
    if reasons:
        listed = "; ".join(f"{times} x {why}" for why, times in collections.Counter(reasons).most_common(5))
        raise UserError(
            f"{name}: {sum(reasons.values())} of {count} replies did not come ({listed}): the others are kept, run the same "
            "command again for these"
        )
