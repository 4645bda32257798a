"""Bad requests are refused as JSON with 4xx; many clients at once, slow ones and those that hang up harm nobody."""

import concurrent.futures
import json
import socket
import sqlite3
import threading
import time

import httpx2
import pytest
from running import running
from tiny import tiny_chat_model

import remid_jax.serving.app as app
from remid_jax.disk import database_error
from remid_jax.progress import Silent
from remid_jax.scoring.score import score

TOKEN = "a-secret-of-ours"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def running_server():
    with running(tiny_chat_model(), TOKEN) as found:
        yield found


@pytest.fixture(scope="module")
def base_url(running_server):
    return running_server[0]


@pytest.fixture(scope="module")
def client(base_url):
    with httpx2.Client(timeout=60, headers=HEADERS) as client:
        yield client


def line(number):
    return {"id": number, "prefix_ids": [5, 6, 7 + number], "answer_ids": [[8, 9, 10], [11 + number]]}


@pytest.fixture
def is_well(client, base_url):
    """Called, asserts that the server still answers rightly."""

    def is_well():
        found = client.post(f"{base_url}/score", json={"requests": [line(3)]}).json()["results"]
        [own] = score(tiny_chat_model(), [line(3)], progress=Silent())
        assert found[0]["loglik"] == pytest.approx(own.loglik, abs=1e-4)

    return is_well


COMPLETIONS, CHAT, SCORE = "/completions", "/chat/completions", "/score"
ASK = {"model": "tiny", "prompt": "Once"}
MESSAGES = [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (COMPLETIONS, b"{", 400,
         "the body is no JSON: line 1, column 2: broken JSON (Expecting property name enclosed in double quotes)"),
        (COMPLETIONS, b"", 400, "the body is no JSON: line 1, column 1: broken JSON (Expecting value)"),
        (COMPLETIONS, b"\xff", 400, "the body is no JSON: line 1: not UTF-8 (byte 1 of the line): save it as UTF-8"),
        (COMPLETIONS, [1], 400, "the body must be a JSON object"),
        (COMPLETIONS, {"model": "tiny"}, 400, "prompt: missing"),
        (COMPLETIONS, ASK | {"model": "gpt"}, 404, "model 'gpt' is not served here: ask for 'tiny'"),
        (COMPLETIONS, ASK | {"max_tokens": "5"}, 400, "max_tokens: Input should be a valid integer"),
        (COMPLETIONS, ASK | {"max_tokens": 33}, 400, "max_tokens: 33 is more than the 32 that this server gives"),
        (COMPLETIONS, ASK | {"temperature": -1}, 400, "temperature: Input should be greater than or equal to 0"),
        (COMPLETIONS, ASK | {"logprobs": 5}, 400, "logprobs: Input should be less than or equal to 1"),
        (COMPLETIONS, ASK | {"n": 0, "top_p": 2}, 400,
         "top_p: Input should be less than or equal to 1; n: Input should be greater than or equal to 1"),
        (COMPLETIONS, ASK | {"stream": True}, 400, "stream: not offered here, leave it out"),
        (COMPLETIONS, ASK | {"temprature": 0}, 400, "temprature: unknown key (did you mean 'temperature'?)"),
        (COMPLETIONS, ASK | {"prompt": ""}, 400, "prompt: must be a text that is not empty, token ids, or a list of either"),
        (COMPLETIONS, ASK | {"prompt": []}, 400, "prompt: must be a text, token ids, or a list of up to 2048 of either"),
        (COMPLETIONS, ASK | {"prompt": [[1], [-1]]}, 400,
         "prompt: must be a text that is not empty, token ids, or a list of either"),
        (COMPLETIONS, ASK | {"prompt": [10**6]}, 400, None),
        (COMPLETIONS, ASK | {"prompt": [5] * 401}, 400,
         "a prompt of 401 tokens is longer than the 400 that this server takes: shorten it"),
        (COMPLETIONS, ASK | {"stop": 3}, 400, "stop: must be a text or a list of up to 16 texts"),
        (CHAT, {"model": "tiny", "messages": []}, 400, "messages: List should have at least 1 item after validation, not 0"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user"}]}, 400, "messages.0.content: missing"),
        (CHAT, {"model": "tiny", "messages": MESSAGES, "max_tokens": 3, "max_completion_tokens": 3}, 400,
         "max_tokens: stands beside max_completion_tokens, leave one out"),
        (CHAT, {"model": "tiny", "messages": MESSAGES, "tools": [{}]}, 400, "tools: not offered here, leave it out"),
        (SCORE, {"requests": [{"id": 1, "prompt": "a", "answers": ["b"]}, {"id": 2, "prompt": "a"}]}, 400,
         "requests: number 2: needs exactly one of answers, answer_ids for its answers"),
        (SCORE, {"requests": [{"id": 1, "prefix_ids": [5] * 430, "answer_ids": [[5, 6, 7]]}]}, 400,
         "request 1: 433 tokens are more than the 432 that this server takes: shorten it"),
        ("/embeddings", ASK, 404, "POST /v1/embeddings: Not Found"),
    ],
)  # fmt: skip
def test_refusals(client, base_url, path, body, status, message):
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = client.post(base_url + path, **sent)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert message is None or error["message"] == message


def test_a_fault_of_the_servers_own_is_a_503_and_says_nothing_of_the_machine(
    client, base_url, running_server, is_well, monkeypatch, caplog
):
    def get(keys):
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.Error as error:
            raise database_error(error, "/home/me/store.sqlite") from error

    with monkeypatch.context() as full:
        full.setattr(running_server[1]._scoring.store, "get", get)
        answer = client.post(f"{base_url}/score", json={"requests": [line(5)]})
    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "message": "the server cannot answer now: ask again later", "type": "server_error", "param": None,
        "code": "unavailable",
    }  # fmt: skip
    assert "/home/me/store.sqlite: the disk is full" in caplog.text
    is_well()


def test_get_where_post_is_wanted(client, base_url):
    answer = client.get(f"{base_url}/completions")
    assert (answer.status_code, answer.json()["error"]["message"]) == (405, "GET /v1/completions: Method Not Allowed")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer é"}]
)
@pytest.mark.parametrize("path", ["/models", "/score"])
def test_a_bad_token(base_url, headers, path):
    method = httpx2.get if path == "/models" else httpx2.post
    answer = method(base_url + path, headers={name: value.encode() for name, value in headers.items()})
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "message": "the token is missing or not the one of this server", "type": "invalid_request_error", "param": None,
            "code": "invalid_api_key",
        }
    }  # fmt: skip
    assert TOKEN not in answer.text + str(answer.headers)


def test_a_body_of_ten_megabytes(client, base_url, is_well):
    body = json.dumps({"requests": [line(1)], "model": " " * 10_000_000})
    answer = client.post(f"{base_url}/score", content=body.encode())
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        413,
        "the body has 10,000,000 bytes or more: send less at once",
    )

    def endless():
        for _ in range(12):
            yield b" " * 1_000_000

    assert client.post(f"{base_url}/score", content=endless()).status_code == 413
    is_well()


def test_64_clients_at_once_get_their_own_answers_in_few_steps(base_url, running_server):
    lines = [line(n) for n in range(64)]
    expected = score(tiny_chat_model(), lines, progress=Silent())
    counts = running_server[1]._scoring.counts
    before, together = counts.device_steps, threading.Barrier(64)

    def ask(number):
        with httpx2.Client(timeout=60, headers=HEADERS) as client:
            together.wait()
            return client.post(f"{base_url}/score", json={"requests": [lines[number]]}).json()["results"][0]

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        found = list(pool.map(ask, range(64)))
    for own, answer in zip(expected, found, strict=True):
        assert answer["id"] == own.id
        assert answer["loglik"] == pytest.approx(own.loglik, abs=1e-4)
    assert counts.device_steps - before < 64


def raw(base_url, text):
    """A connection on which the text was sent."""
    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(text)
    return connection


def request(body, length=None, path="/v1/score"):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


def test_dropped_connections_slow_writers_and_slow_readers(base_url, monkeypatch, is_well):
    whole = json.dumps({"requests": [line(1)]}).encode()
    raw(base_url, b"POST /v1/sc").close()  # in the head
    raw(base_url, request(whole[:10], len(whole))).close()  # in the body
    raw(base_url, request(whole)).close()  # before the answer
    slow_reader = raw(base_url, request(whole))
    slow_writer = raw(base_url, request(whole[:10], len(whole)))
    is_well()
    slow_writer.sendall(whole[10:])
    for connection in (slow_reader, slow_writer):
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        connection.close()
    monkeypatch.setattr(app, "PATIENCE", 0.2)
    late = raw(base_url, request(whole[:10], len(whole)))
    assert late.recv(100).startswith(b"HTTP/1.1 408 ")
    late.close()
    garbage = raw(base_url, b"\x16\x03\x01 no HTTP\r\n\r\n")
    assert garbage.recv(100).startswith(b"HTTP/1.1 400 ")
    garbage.close()
    is_well()


def test_whoever_hangs_up_before_their_turn_is_not_computed_for(base_url, running_server, is_well):
    served = running_server[1]
    asked, go_on = [], threading.Event()
    held = served._batches.submit("hold", [])  # an unknown kind: sampling with no prompt
    held.result()
    compute = served._batches._compute

    def slow(kind, items):
        asked.extend(kind for _ in items)
        go_on.wait(20)
        return compute(kind, items)

    served._batches._compute = slow
    try:
        first = raw(base_url, request(json.dumps({"requests": [line(4)]}).encode()))
        while not asked:
            time.sleep(0.01)
        second = raw(base_url, request(json.dumps({"requests": [line(5)]}).encode()))
        while served._batches._waiting.empty():
            time.sleep(0.01)
        second.close()
        time.sleep(0.3)  # until the server has seen it
        go_on.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200 OK")
        first.close()
    finally:
        served._batches._compute = compute
    assert len(asked) == 1
    is_well()


def test_a_fault_of_ours_is_not_told_in_detail(base_url, running_server, client, monkeypatch, is_well):
    async def broken(requests):
        raise RuntimeError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(running_server[1], "score", broken)
        answer = client.post(f"{base_url}/score", json={"requests": [line(1)]})
    assert (answer.status_code, answer.json()["error"]) == (
        500, {"message": "this server failed", "type": "server_error", "param": None, "code": "internal_error"},
    )  # fmt: skip
    is_well()
