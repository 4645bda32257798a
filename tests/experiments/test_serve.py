"""The script that serves: what stops it before it listens, and that it serves what the config names."""

import threading

import httpx2
import pytest
import uvicorn
from tiny import plain_logprobs

from remid_jax.models.loading import open_model


def test_what_it_refuses(refused, tiny_directory):
    assert refused("serve", {}) == "config.model is not set: give --config.model=..."
    assert refused("serve", {"model": str(tiny_directory), "host": "0.0.0.0"}) == (
        "config.host=0.0.0.0: can be reached from other machines: export a secret and name its variable, "
        "--config.token=VARIABLE, or listen on 127.0.0.1"
    )
    assert (
        refused("serve", {"model": "no/such", "port": 0, "max_new": 0})
        == "config.max_new=0: must be a whole number from 1 to 2147483647"
    )


def test_it_serves_the_model_under_its_name(call, tiny_directory, monkeypatch, capsys):
    servers, run = [], uvicorn.Server.run

    def noted(server, sockets):
        servers.append(server)
        run(server, sockets=sockets)

    monkeypatch.setattr(uvicorn.Server, "run", noted)
    settings = {"model": str(tiny_directory), "name": "fox", "port": 0, "max_prompt": 64, "max_new": 8}
    thread = threading.Thread(target=call, args=("serve", settings), daemon=True)
    thread.start()
    while not (servers and servers[0].started):
        assert thread.is_alive()
        thread.join(0.02)
    host, port = servers[0].servers[0].sockets[0].getsockname()
    [model] = httpx2.get(f"http://{host}:{port}/v1/models").json()["data"]
    assert model["id"] == "fox"
    line = {"id": 1, "prefix_ids": [5, 6], "answer_ids": [[7, 8]]}
    [result] = httpx2.post(f"http://{host}:{port}/v1/score", json={"requests": [line]}, timeout=60).json()["results"]
    expected = plain_logprobs(open_model(str(tiny_directory)), [5, 6], [7, 8])
    assert result["logprobs"][0] == pytest.approx(expected, abs=1e-4)
    servers[0].should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    assert f"serving fox at http://{host}:{port}/v1" in capsys.readouterr().err
