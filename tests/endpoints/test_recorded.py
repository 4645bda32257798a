"""Replies are paid for once, whatever ends a run; caps, failures and the number of requests at once are kept."""

import random
import threading

import pytest
from refusal import refusal

from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.chat import Chat, ChatReply, Missing, Sampling, Usage, all_replies
from remid_jax.endpoints.descriptions import Price
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import HOPELESS, Recorded, Unanswered
from remid_jax.scoring.store import Store

GREEDY = Sampling(8)


def chats(count, **settings):
    return [Chat([{"role": "user", "content": f"question {n}"}], Sampling(8, **settings)) for n in range(count)]


def echo(chat, draw):
    return f"{chat.messages[-1]['content']} answered {draw}"


def endpoint(answer=echo, store=None, ledger=None, concurrency=3):
    backend = Canned(answer)
    return backend, Recorded("endpoint:canned", backend, store or Store(":memory:"), ledger or Ledger(), concurrency)


def ask(recorded, asked):
    return recorded.ask(asked, lambda done, total: None)


def test_replies_come_in_the_order_of_chats_and_draws_and_equal_requests_are_one():
    backend, recorded = endpoint()
    told = []
    again = chats(2)[1]
    answers = recorded.ask([Chat(again.messages, GREEDY, n=2), *chats(2)], lambda done, total: told.append((done, total)))
    assert [[reply.text for reply in replies] for replies in answers] == [
        ["question 1 answered 0", "question 1 answered 1"], ["question 0 answered 0"], ["question 1 answered 0"],
    ]  # fmt: skip
    assert answers[0][0].usage == Usage(2, 4)
    assert sorted(backend.asked.values()) == [1, 1, 1]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
    told.clear()
    recorded.ask(chats(4), lambda done, total: told.append((done, total)))  # two of them are there
    assert told == [(0, 2), (1, 2), (2, 2), (2, 2)]


def test_a_key_holds_messages_settings_and_the_number_of_the_draw():
    backend, recorded = endpoint()
    variants = [
        Chat([{"role": "user", "content": "a"}], GREEDY),
        Chat([{"role": "system", "content": "a"}], GREEDY),
        Chat([{"role": "user", "content": "b"}], GREEDY),
        Chat([{"role": "user", "content": "a"}], Sampling(9)),
        Chat([{"role": "user", "content": "a"}], Sampling(8, temperature=1.0), n=2),
        Chat([{"role": "user", "content": "a"}], Sampling(8, temperature=1.0, seed=1)),
        Chat([{"role": "user", "content": "a"}], Sampling(8, stop=("x",))),
        Chat([{"role": "user", "content": "a"}], Sampling(8, logprobs=True)),
    ]
    ask(recorded, variants)
    assert len(backend.asked) == 9
    ask(recorded, variants)
    assert set(backend.asked.values()) == {1}


def test_what_is_stored_is_what_came(tmp_path):
    reply = ChatReply("狐 said\n", "length", Usage(3, 7), (-0.5, -1.25))

    class Fixed(Canned):
        def reply(self, chat, draw, key):
            return reply

    first, second = (Recorded("x", Fixed(echo), Store(tmp_path / "store.sqlite"), Ledger(), 1) for _ in range(2))
    assert ask(first, chats(1)) == ask(second, chats(1)) == [[reply]]
    assert second.ledger.described() == {
        "replies": 1, "from_store": 1, "tries": 0, "failures": {}, "prompt_tokens": 3, "completion_tokens": 7, "cost": None,
    }  # fmt: skip


class Killed(BaseException):
    """Stands in for a kill: nothing after it is written."""


class Mortal(Store):
    """A store whose process is killed at put number `moment`, before or after it is on the disk."""

    def __init__(self, path, moment, before):
        super().__init__(path)
        self.moment, self.before, self.dead = moment, before, False

    def put(self, entries):
        self.moment -= 1
        if self.dead or (self.moment <= 0 and self.before):
            self.dead = True
            raise Killed
        super().put(entries)
        if self.moment <= 0:
            self.dead = True
            raise Killed


def test_killed_at_seeded_moments_it_loses_nothing_and_asks_again_only_for_what_was_under_way(tmp_path):
    dice, concurrency, kills = random.Random(17), 3, 10
    backend, whole = endpoint()
    expected = ask(whole, chats(40))
    backend = Canned(echo)
    for _ in range(kills):
        store = Mortal(tmp_path / "store.sqlite", dice.randint(1, 4), dice.random() < 0.5)
        with pytest.raises(Killed):
            ask(Recorded("x", backend, store, Ledger(), concurrency), chats(40))
    assert len(backend.asked) < 40
    assert ask(Recorded("x", backend, Store(tmp_path / "store.sqlite"), Ledger(), concurrency), chats(40)) == expected
    assert len(backend.asked) == 40
    assert sum(backend.asked.values()) - 40 <= kills * concurrency  # each of these had not reached the disk
    before = dict(backend.asked)
    assert ask(Recorded("x", backend, Store(tmp_path / "store.sqlite"), Ledger(), concurrency), chats(40)) == expected
    assert backend.asked == before


def test_no_more_requests_at_once_than_it_may():
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(4, timeout=10)

    def answer(chat, draw):
        with lock:
            now[0] += 1
            most[0] = max(most)
            most.append(now[0])
        together.wait()
        with lock:
            now[0] -= 1
        return "yes"

    ask(endpoint(answer, concurrency=4)[1], chats(12))
    assert max(most) == 4


def test_a_cap_stops_what_is_to_come_and_keeps_what_came(tmp_path):
    price = Price(prompt=1e6, completion=2e6)  # a word of a question costs 1, one of a reply 2: 2 + 2 * 4 = 10 a reply
    store = Store(tmp_path / "store.sqlite")
    backend, recorded = endpoint(store=store, ledger=Ledger(price, cap=25.0), concurrency=1)
    assert refusal(ask, recorded, chats(9)) == (
        'endpoint:canned: its "cap" of 25 is reached: 30 spent: what came is kept, raise it and run the same command again'
    )
    assert len(backend.asked) == 3
    # The same command again pays nothing: what came before counts.
    backend, recorded = endpoint(store=store, ledger=Ledger(price, cap=25.0), concurrency=1)
    refusal(ask, recorded, chats(9))
    assert backend.asked == {}
    # What is there is given under any cap; a higher one goes on.
    backend, recorded = endpoint(store=store, ledger=Ledger(price, cap=25.0), concurrency=1)
    assert len(ask(recorded, chats(3))) == 3
    backend, recorded = endpoint(store=store, ledger=Ledger(price, cap=1000.0), concurrency=1)
    ask(recorded, chats(9))
    assert len(backend.asked) == 6
    assert recorded.ledger.described()["cost"] == 90.0
    assert recorded.ledger.sentence() == "9 replies, 3 of them from the store, 18 + 36 tokens, 90 spent"
    backend, recorded = endpoint(ledger=Ledger(cap_tokens=12), concurrency=1)
    assert refusal(ask, recorded, chats(9)) == (
        'endpoint:canned: its "cap_tokens" of 12 is reached: 12 used: what came is kept, raise it and run the same command '
        "again"
    )


def test_a_cap_cannot_be_kept_where_nobody_says_what_was_used():
    class Silent(Canned):
        def reply(self, chat, draw, key):
            super().reply(chat, draw, key)
            return ChatReply("yes", "stop")

    backend = Silent(echo)
    recorded = Recorded("endpoint:x", backend, Store(":memory:"), Ledger(cap_tokens=5), 1)
    assert refusal(ask, recorded, chats(3)) == (
        "endpoint:x: does not say how many tokens it took, so its cap cannot be kept: leave the cap out"
    )
    assert len(backend.asked) == 1
    assert len(ask(Recorded("endpoint:x", backend, Store(":memory:"), Ledger(), 1), chats(3))) == 3


def test_missing_replies_are_counted_by_reason_or_stop_whoever_needs_all():
    def answer(chat, draw):
        number = int(chat.messages[-1]["content"].split()[-1])
        if number % 5 == 1:
            raise Unanswered("it timed out")
        if number % 5 == 2:
            raise Unanswered("its answer broke off")
        return "yes"

    backend, recorded = endpoint(answer, concurrency=1)
    answers = ask(recorded, chats(12))
    assert [reply.why for [reply] in answers if isinstance(reply, Missing)] == [
        "it timed out", "its answer broke off", "it timed out", "its answer broke off", "it timed out",
    ]  # fmt: skip
    assert refusal(all_replies, recorded, chats(12), lambda done, total: None) == (
        "endpoint:canned: 5 of 12 replies did not come (3 x it timed out; 2 x its answer broke off): the others are kept, run "
        "the same command again for these"
    )
    assert sorted(backend.asked.values()) == [1] * 7 + [2] * 5  # those that came were not asked for again


def test_it_gives_up_where_nothing_comes():
    def answer(chat, draw):
        raise Unanswered("it answered with status 500")

    backend, recorded = endpoint(answer, concurrency=2)
    assert refusal(ask, recorded, chats(100)) == (
        f"endpoint:canned: {HOPELESS} requests in a row came to nothing, the last because it answered with status 500: what "
        "came is kept, run the same command again later"
    )
    assert HOPELESS <= len(backend.asked) <= HOPELESS + 1
