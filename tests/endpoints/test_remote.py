"""A server that fails in every way: what is tried again, what is missing, what stops a run, and that no key is told."""

import json
import random
import traceback
import types

import openai
import pytest
from faulty_server import FaultyServer
from refusal import refusal

from remid_jax.endpoints.chat import Chat, ChatReply, Missing, Sampling, Usage
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.endpoints.remote import SHOWN
from remid_jax.errors import UserError
from remid_jax.scoring.store import Store

SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def slept(monkeypatch):
    """The seconds for which the library would have slept between tries."""
    seconds, base = [], openai._base_client
    clock = types.SimpleNamespace(**{**vars(base.time), "sleep": seconds.append})
    monkeypatch.setattr(base, "time", clock)
    return seconds


@pytest.fixture
def server(request):
    made = FaultyServer(**getattr(request, "param", {}))
    yield made
    made.close()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """opened(server or base_url, settings): the endpoint, over one store."""
    monkeypatch.setenv("THE_KEY", SECRET)

    def opened(where, **settings):
        base_url = getattr(where, "base_url", where)
        path = tmp_path / "endpoints.json"
        path.write_text(json.dumps({"it": {"base_url": base_url, "model": "m-1", "timeout": 5, "retries": 3} | settings}))
        return open_endpoint("endpoint:it", path, Store(tmp_path / "store.sqlite"))

    return opened


def chats(count):
    return [Chat([{"role": "user", "content": f"question {n}"}], Sampling(8)) for n in range(count)]


def ask(endpoint, asked):
    return endpoint.ask(asked, lambda done, total: None)


def test_what_is_sent_and_what_comes_back(server, opened):
    sampling = Sampling(8, temperature=0.5, top_p=0.9, stop=("x",), seed=3, logprobs=True)
    body = {"temperature": None, "reasoning_effort": "low"}
    [replies] = ask(opened(server, body=body), [Chat([{"role": "user", "content": "Who?"}], sampling, n=2)])
    assert replies == [ChatReply("reply to Who?", "stop", Usage(1, 5))] * 2
    assert sorted(server.bodies, key=lambda sent: sent["seed"]) == [
        {
            "model": "m-1", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 8, "top_p": 0.9, "seed": 3 + draw,
            "stop": ["x"], "logprobs": True, "reasoning_effort": "low",
        }
        for draw in (0, 1)
    ]  # fmt: skip
    greedy = ask(opened(server), chats(1))
    assert greedy == [[ChatReply("reply to question 0", "stop", Usage(2, 5))]]
    assert server.bodies[-1] == {
        "model": "m-1", "messages": [{"role": "user", "content": "question 0"}], "max_tokens": 8, "temperature": 0.0,
    }  # fmt: skip


def test_every_fault_is_tried_again_after_a_while_and_retry_after_is_heeded(opened, slept):
    faults = [(429, "7.5"), 500, "broken", "other", "cut"]
    server = FaultyServer(lambda number, content: faults[number] if number < len(faults) else None)
    endpoint = opened(server, retries=5, concurrency=1)
    assert ask(endpoint, chats(1)) == [[ChatReply("reply to question 0", "stop", Usage(2, 5))]]
    server.close()
    # The first wait is the server's; the others double from the library's half a second, less up to a quarter, to eight.
    assert slept[0] == 7.5
    for waited, longest in zip(slept[1:], (1, 2, 4, 8), strict=True):
        assert 0.75 * longest <= waited <= longest
    assert endpoint.ledger.described() == {
        "replies": 1, "from_store": 0, "tries": 6, "prompt_tokens": 2, "completion_tokens": 5, "cost": None,
        "failures": {"broken off": 1, "no chat's answer": 2, "status 429": 1, "status 500": 1},
    }  # fmt: skip
    assert endpoint.ledger.sentence() == (
        "1 reply, 2 + 5 tokens; tried again or given up: 1 x broken off, 2 x no chat's answer, 1 x status 429, 1 x status 500"
    )


def test_random_faults_lose_nothing_and_nothing_is_paid_twice(opened, slept):
    dice = random.Random(2512)
    kinds = ["cut", "broken", "other", 500, 503, (429, "0.01"), None, None]
    plans = {f"question {n}": [dice.choice(kinds) for _ in range(3)] for n in range(30)}
    server = FaultyServer(lambda number, content: plans[content][number] if number < 3 else None)
    answers = ask(opened(server, concurrency=4), chats(30))
    assert [reply.text for [reply] in answers] == [f"reply to question {n}" for n in range(30)]
    assert set(server.paid.values()) == {1}
    assert len(server.paid) == 30
    assert server.most_at_once <= 4
    ask(opened(server), chats(30))
    assert sum(server.paid.values()) == 30
    server.close()


def test_a_request_that_stays_without_an_answer_is_missing_and_the_next_run_asks_for_it_alone(opened, slept):
    always = {"question 1": 500, "question 2": "timeout", "question 3": "cut", "question 4": "broken", "question 5": 400}
    server = FaultyServer(lambda number, content: always.get(content), key=SECRET)
    endpoint = opened(server, retries=1, timeout=0.3, key="THE_KEY", concurrency=1)
    answers = ask(endpoint, chats(7))
    assert [reply for [reply] in answers if isinstance(reply, Missing)] == [
        Missing("it answered with status 500 (no, with the key ***)"),
        Missing("it timed out"),
        Missing("its answer broke off"),
        Missing("its answer is not the answer to a chat"),
        Missing("it answered with status 400 (no, with the key ***)"),
    ]
    assert server.tries.total() == 2 + 4 * 2 + 1  # status 400 is not tried again
    always.clear()
    ask(opened(server, key="THE_KEY"), chats(7))
    assert server.paid.total() == 7
    server.close()


def message_and_trace(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    return str(caught.value), "".join(traceback.format_exception(caught.value))


def test_a_refused_key_stops_the_run_and_is_not_told(opened, slept):
    server = FaultyServer(key="another")
    endpoint = opened(server, key="THE_KEY", concurrency=2)
    said, trace = message_and_trace(ask, endpoint, chats(50))
    assert said == f"endpoint:it: {server.base_url} refuses the key of THE_KEY (status 401): export one that it takes"
    assert SECRET not in trace + repr(endpoint.described()) + repr(endpoint.ledger.described())
    assert server.tries.total() <= 2
    assert refusal(ask, opened(server), chats(1)) == (
        f'endpoint:it: {server.base_url} wants a key (status 401): name in "key" the environment variable that holds it'
    )
    server.close()


def test_a_key_is_sent_and_nowhere_kept(opened, tmp_path):
    server = FaultyServer(key=SECRET)
    ask(opened(server, key="THE_KEY"), chats(2))
    server.close()
    assert server.paid.total() == 2
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file


def test_other_keys_of_the_environment_stay_here(opened, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    server = FaultyServer(key="none")
    assert len(ask(opened(server), chats(1))) == 1
    server.close()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, 'knows no model \'m-1\' or is no such address (status 404): check "model" and "base_url"'),
        (402, "answers that no credit is left (status 402): what came is kept, run the same command again once there is"),
        (
            429,
            "answers that there are too many requests or no credit is left (status 429): what came is kept, run the same "
            "command again later",
        ),
    ],
)
def test_an_unknown_model_or_spent_credit_stops_the_run(opened, slept, status, said):
    server = FaultyServer(lambda number, content: None if content == "question 0" else status)
    assert refusal(ask, opened(server, concurrency=1), chats(20)) == f"endpoint:it: {server.base_url} {said}"
    server.close()
    assert server.paid.total() == 1
    assert len(server.tries) == 2


def test_nobody_listens_and_no_such_host(opened, slept):
    server = FaultyServer()
    server.close()
    said = refusal(ask, opened(server), chats(3))
    assert said == (
        f'endpoint:it: {server.base_url} cannot be reached ([Errno 111] Connection refused): check its "base_url" and the '
        "network, then run the same command again"
    )
    said = refusal(ask, opened("http://no-such-host.invalid/v1", retries=0), chats(3))
    assert said.startswith("endpoint:it: http://no-such-host.invalid/v1 cannot be reached (")
    assert said.endswith(') : check its "base_url" and the network, then run the same command again'.replace(") :", "):"))


def test_a_key_at_the_end_of_what_is_shown_of_a_refusal_is_not_told_in_part(opened, slept):
    words = "x" * (SHOWN - len("no, with the key ") - 5)
    server = FaultyServer(lambda number, content: 400, key=SECRET, refused=words)
    [[missing]] = ask(opened(server, key="THE_KEY"), chats(1))
    server.close()
    assert missing == Missing(f"it answered with status 400 ({words}no, with the key ***)")


def answered(text, usage):
    """The body of an answer."""
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}).encode()


def test_half_a_character_in_a_reply_is_replaced(opened):
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    server = FaultyServer(lambda number, content: answered("Hi \ud83d, \U0001f600 \ude00", usage))
    assert ask(opened(server), chats(1)) == [[ChatReply("Hi \ufffd, \U0001f600 \ufffd", "stop", Usage(1, 2))]]
    server.close()


@pytest.mark.parametrize("usage", [{"total_tokens": 5}, {"prompt_tokens": 1, "completion_tokens": None}, {}, "5", None])
def test_a_reply_with_unusual_usage_is_taken_but_for_a_cap(opened, usage):
    server = FaultyServer(lambda number, content: answered("hello", usage))
    assert ask(opened(server), chats(1)) == [[ChatReply("hello", "stop", None)]]
    assert refusal(ask, opened(server, cap_tokens=10), chats(2)[1:]) == (
        "endpoint:it: does not say how many tokens it took, so its cap cannot be kept: leave the cap out"
    )
    server.close()
    assert server.tries.total() == 2
