"""Where the server listens, and who may ask it."""

import pytest
from refusal import refusal

from remid_jax.serving.server import address_of, is_loopback, listen, token_of


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.com", False)],
)  # fmt: skip
def test_loopback(host, expected):
    assert is_loopback(host) == expected


def test_another_address_needs_a_token_from_the_environment(monkeypatch):
    monkeypatch.delenv("OURS", raising=False)
    assert token_of("127.0.0.1", None) is None
    assert refusal(token_of, "0.0.0.0", None) == (
        "config.host=0.0.0.0: can be reached from other machines: export a secret and name its variable, "
        "--config.token=VARIABLE, or listen on 127.0.0.1"
    )
    assert refusal(token_of, "127.0.0.1", "OURS") == (
        "config.token=OURS: the environment has no such variable: export it with a secret of yours"
    )
    monkeypatch.setenv("OURS", "secret")
    assert token_of("0.0.0.0", "OURS") == token_of("127.0.0.1", "OURS") == "secret"


def test_a_port_that_is_taken_and_an_address_that_is_not_here():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}/v1"
        assert refusal(listen, "127.0.0.1", port) == (
            f"config.host=127.0.0.1, config.port={port}: cannot listen there (Address already in use): name another "
            "port or host"
        )
    assert refusal(listen, "192.0.2.1", 0) == (
        "config.host=192.0.2.1, config.port=0: cannot listen there (Cannot assign requested address): name another port or host"
    )
    assert refusal(listen, "127.0.0.1", 70000).startswith("config.host=127.0.0.1, config.port=70000: cannot listen there (")
