"""Replies that are paid for once: asked side by side, kept as each comes, taken from the store by whoever asks again.

A reply's key is who is asked, the messages, the settings and the number of the draw. A run that is killed loses at most the
replies that are under way; each is asked for again under the same key, which is sent as `Idempotency-Key`, so that a server
that heeds it takes no money twice.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from remid_jax.endpoints.chat import Chat, ChatReply, Missing, Usage
from remid_jax.endpoints.ledger import Ledger
from remid_jax.errors import UserError
from remid_jax.parallel import from_first_host, is_first_host
from remid_jax.progress import Advance
from remid_jax.scoring.store import Store, key_of

NOT_ASKED = "not asked any more"
HOPELESS = 8  # requests in a row that come to nothing, after which no other is sent


class Unanswered(Exception):
    """One reply did not come after all tries; others may."""


class Backend(Protocol):
    """Whoever makes single replies."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides its replies, as JSON can hold it."""
        ...

    def reply(self, chat: Chat, draw: int, key: str) -> ChatReply:
        """Returns reply number `draw` to a chat; `key` is equal for equal requests alone.

        Raises:
          Unanswered: if this one does not come.
          UserError: if no other would come either.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One reply to one chat, the unit that is paid for and kept."""

    chat: Chat
    draw: int


class Recorded:
    """An `Endpoint` over a backend, at most `concurrency` requests at once, whose replies stay in a store."""

    def __init__(self, name: str, backend: Backend, store: Store, ledger: Ledger, concurrency: int):
        self.name, self.ledger = name, ledger
        self._backend, self._store, self._concurrency = backend, store, concurrency

    def ask(self, chats: Sequence[Chat], report: Advance) -> list[list[ChatReply | Missing]]:
        """Returns the replies to each chat, [chat][draw]; of several hosts the first asks for all.

        Raises:
          UserError: if the cap is reached, the backend says that none would come, or `HOPELESS` in a row did not; what came is
            kept.
        """
        keys, by_key = self._slots(chats)
        answers = self._stored(by_key)
        missing = {key: wanted for key, wanted in by_key.items() if key not in answers}
        if missing:
            answers |= self._asked(missing, report)
        report(len(missing), len(missing))
        return [[answers[key] for key in own] for own in keys]

    def kept(self, chats: Sequence[Chat]) -> list[list[ChatReply | Missing]]:
        """Returns the replies to each chat that the store has, [chat][draw], and asks nobody for the others."""
        keys, by_key = self._slots(chats)
        answers = self._stored(by_key)
        return [[answers.get(key, Missing(NOT_ASKED)) for key in own] for own in keys]

    def _slots(self, chats: Sequence[Chat]) -> tuple[list[list[bytes]], dict[bytes, Wanted]]:
        """The key of each reply, [chat][draw], and what is wanted under it."""
        slots = [[Wanted(chat, draw) for draw in range(chat.n)] for chat in chats]
        keys = [[self._key(wanted) for wanted in own] for own in slots]
        return keys, {key: wanted for own in zip(keys, slots, strict=True) for key, wanted in zip(*own, strict=True)}

    def _stored(self, keys: Iterable[bytes]) -> dict[bytes, ChatReply | Missing]:
        """What the store has under the keys; it enters the ledger."""
        answers = {key: _unpacked(value) for key, value in self._store.get(keys).items()}
        for key, value in answers.items():
            self.ledger.reply(key, value.usage if isinstance(value, ChatReply) else None, stored=True)
        return answers

    def _asked(self, missing: Mapping[bytes, Wanted], report: Advance) -> dict[bytes, ChatReply | Missing]:
        """The missing replies, on every host."""
        packed: list[bytes | None] = [None] * len(missing)
        if is_first_host():
            made = _Asking(self, missing, report).run()
            packed = [_packed(made[key]) for key in missing]
        return {key: _unpacked(value) for key, value in zip(missing, from_first_host(packed), strict=True) if value is not None}

    def reply(self, key: bytes, wanted: Wanted) -> ChatReply:
        """Asks for one reply, and keeps it before anything else is done with it.

        Raises:
          Unanswered: as `Backend.reply`.
          UserError: as `Backend.reply`, and if the cap is reached, or cannot be kept because no usage is told.
        """
        if reached := self.ledger.over_cap():
            raise UserError(f"{self.name}: its {reached}: what came is kept, raise it and run the same command again")
        reply = self._backend.reply(wanted.chat, wanted.draw, key.hex())
        self._store.put({key: _packed(reply)})
        self.ledger.reply(key, reply.usage, stored=False)
        if reply.usage is None and self.ledger.is_capped:
            raise UserError(f"{self.name}: does not say how many tokens it took, so its cap cannot be kept: leave the cap out")
        return reply

    def described(self) -> dict[str, Any]:
        """Returns who answers, for results."""
        return dict(self._backend.identity)

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def _key(self, wanted: Wanted) -> bytes:
        context = {"kind": "chat reply", "who": self._backend.identity}
        messages = [dict(message) for message in wanted.chat.messages]
        asked = json.dumps([messages, dataclasses.asdict(wanted.chat.sampling), wanted.draw], sort_keys=True)
        return key_of(context, asked.encode())


class _Asking:
    """Asks for replies side by side, until all are there or it makes no sense to go on."""

    def __init__(self, endpoint: Recorded, missing: Mapping[bytes, Wanted], report: Advance):
        self._endpoint, self._missing, self._report = endpoint, missing, report
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._stop = threading.Event()

    def run(self) -> dict[bytes, ChatReply | Missing]:
        """Raises UserError as `Recorded.ask`, once those under way are there."""
        made: dict[bytes, ChatReply | Missing] = {}
        self._report(0, len(self._missing))
        with concurrent.futures.ThreadPoolExecutor(self._endpoint.concurrency, "endpoint") as pool:
            futures = {pool.submit(self._one, key, wanted): key for key, wanted in self._missing.items()}
            try:
                for future in concurrent.futures.as_completed(futures):
                    made[futures[future]] = future.result()
                    self._report(len(made), len(self._missing))
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return made

    def _one(self, key: bytes, wanted: Wanted) -> ChatReply | Missing:
        if self._stop.is_set():
            return Missing(NOT_ASKED)
        try:
            reply = self._endpoint.reply(key, wanted)
        except Unanswered as error:
            with self._lock:
                self._in_a_row += 1
                hopeless = self._in_a_row >= HOPELESS
            if hopeless:
                self._stop.set()
                raise UserError(
                    f"{self._endpoint.name}: {HOPELESS} requests in a row came to nothing, the last because {error}: what came "
                    "is kept, run the same command again later"
                ) from None
            return Missing(str(error))
        except BaseException:
            self._stop.set()
            raise
        with self._lock:
            self._in_a_row = 0
        return reply


def _packed(reply: ChatReply | Missing) -> bytes:
    return json.dumps(dataclasses.asdict(reply)).encode()


def _unpacked(value: bytes) -> ChatReply | Missing:
    fields = json.loads(value)
    if "why" in fields:
        return Missing(**fields)
    usage, logprobs = fields.pop("usage"), fields.pop("logprobs")
    return ChatReply(
        **fields, usage=None if usage is None else Usage(**usage), logprobs=None if logprobs is None else tuple(logprobs)
    )
