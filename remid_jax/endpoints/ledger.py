"""The account of an endpoint: requests, replies, tokens and money, and the cap on them."""

from __future__ import annotations

import collections
import threading
from typing import Any

from remid_jax.endpoints.chat import Usage
from remid_jax.endpoints.descriptions import Price

MILLION = 1_000_000


class Ledger:
    """Counts what the replies of a run cost, whether they were paid for now or by an earlier attempt.

    Any number of threads may write to it.

    Attributes:
      tries: requests sent now, with those that failed.
      failures: of those, by what went wrong.
    """

    def __init__(self, price: Price | None = None, cap: float | None = None, cap_tokens: int | None = None):
        self._price, self._cap, self._cap_tokens = price, cap, cap_tokens
        self._lock = threading.Lock()
        self._entered: set[bytes] = set()
        self._from_store = self._prompt = self._completion = 0  # sums are kept: the cap is asked for before each request
        self.tries = 0
        self.failures: collections.Counter[str] = collections.Counter()

    def reply(self, key: bytes, usage: Usage | None, stored: bool) -> None:
        """Enters a reply by its key, once; `stored`: it was paid for earlier."""
        with self._lock:
            if key in self._entered:
                return
            self._entered.add(key)
            self._from_store += stored
            if usage is not None:
                self._prompt += usage.prompt
                self._completion += usage.completion

    def tried(self) -> None:
        """Enters a request that is sent."""
        with self._lock:
            self.tries += 1

    def failed(self, why: str) -> None:
        """Enters a request that came to nothing."""
        with self._lock:
            self.failures[why] += 1

    @property
    def is_capped(self) -> bool:
        return self._cap is not None or self._cap_tokens is not None

    def over_cap(self) -> str | None:
        """Returns what says that the cap is reached; None before that."""
        with self._lock:
            tokens, cost = self._prompt + self._completion, self._cost()
        if self._cap is not None and cost is not None and cost >= self._cap:
            return f'"cap" of {self._cap:g} is reached: {cost:.4g} spent'
        if self._cap_tokens is not None and tokens >= self._cap_tokens:
            return f'"cap_tokens" of {self._cap_tokens:,} is reached: {tokens:,} used'
        return None

    def described(self) -> dict[str, Any]:
        """Returns the account: {"replies", "from_store", "tries", "failures", "prompt_tokens", "completion_tokens", "cost"}."""
        with self._lock:
            return {
                "replies": len(self._entered),
                "from_store": self._from_store,
                "tries": self.tries,
                "failures": dict(sorted(self.failures.items())),
                "prompt_tokens": self._prompt,
                "completion_tokens": self._completion,
                "cost": self._cost(),
            }

    def sentence(self) -> str:
        """Returns the account in words: "12 replies, 4 of them from the store, 900 + 310 tokens, 0.002 spent"; what failed."""
        account = self.described()
        said = f"{account['replies']:,} {'reply' if account['replies'] == 1 else 'replies'}"
        if account["from_store"]:
            said += f", {account['from_store']:,} of them from the store"
        said += f", {account['prompt_tokens']:,} + {account['completion_tokens']:,} tokens"
        if account["cost"] is not None:
            said += f", {account['cost']:.4g} spent"
        failures = ", ".join(f"{count} x {why}" for why, count in account["failures"].items())
        return f"{said}; tried again or given up: {failures}" if failures else said

    def _cost(self) -> float | None:
        if self._price is None:
            return None
        return (self._prompt * self._price.prompt + self._completion * self._price.completion) / MILLION
