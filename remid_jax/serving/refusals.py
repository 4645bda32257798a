"""Why a request is refused, as OpenAI's clients read it."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that gets no answer: an HTTP status of 4xx, what is wrong and how to mend it, and OpenAI's code of it."""

    def __init__(self, status: int, message: str, code: str):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def body(self) -> dict[str, Any]:
        """Returns what is sent."""
        return refused(self.message, "invalid_request_error", self.code)


def refused(message: str, kind: str, code: str) -> dict[str, Any]:
    """Returns an error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def wrong(message: str) -> Refusal:
    """Returns the refusal of a body that does not say what it should."""
    return Refusal(400, message, "invalid_request")
