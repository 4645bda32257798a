"""Canned replies, for tests and dry runs of what asks endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from remid_jax.endpoints.chat import Chat, ChatReply, Usage


class Canned:
    """A `Backend` that answers by a function of the chat and the number of the draw; a word counts as a token.

    What the function raises is raised: `Unanswered`, for example.

    Attributes:
      asked: how often each key was asked for.
    """

    def __init__(self, answer: Callable[[Chat, int], str]):
        self._answer = answer
        self.asked: dict[str, int] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"canned": True}

    def reply(self, chat: Chat, draw: int, key: str) -> ChatReply:
        self.asked[key] = self.asked.get(key, 0) + 1
        text = self._answer(chat, draw)
        prompt = sum(len(message["content"].split()) for message in chat.messages)
        return ChatReply(text, "stop", Usage(prompt, len(text.split())))
