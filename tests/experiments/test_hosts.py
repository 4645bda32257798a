"""Several hosts meet: all are told in one line who is missing, who has left, and what they were given unlike."""

import json
import socket
import threading

import pytest
from ml_collections import ConfigDict

from experiments import hosts
from remid_jax.errors import UserError


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def meeting(port, given, count=None):
    """What each of the hosts that come is told: None, or the error."""
    told = {}

    def come(host, mine):
        try:
            told[host] = hosts.meet("127.0.0.1", port, count or len(given), host, mine)
        except UserError as error:
            told[host] = str(error)

    threads = [threading.Thread(target=come, args=of) for of in given.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return told


def test_hosts_that_were_given_the_same_go_on(port):
    same = {"config.steps": "2", "config.benchmark.source": "a file of sha256 00"}
    assert meeting(port, dict.fromkeys(range(3), same)) == dict.fromkeys(range(3))


def test_unlike_settings_are_named_on_all(port):
    said = "config.steps is 2 on host 0 and 3 on host 1: give all the same"
    told = meeting(port, {0: {"config.steps": "2"}, 1: {"config.steps": "3"}, 2: {"config.steps": "2"}})
    assert told == dict.fromkeys(range(3), said)


def test_a_host_that_does_not_come_is_named(port, monkeypatch):
    monkeypatch.setattr(hosts, "PATIENCE", 1.5)
    said = "host 2 did not come within 2 s: start the same command on all 3"
    assert meeting(port, {0: {}, 1: {}}, 3) == {0: said, 1: said}
    told = meeting(port, {1: {}}, 2)
    assert told[1].startswith(f"host 0 did not answer at 127.0.0.1:{port} within 2 s (")
    assert told[1].endswith("): start the same command there with --host=0")


def test_a_host_that_leaves_is_named(port):
    def leave():
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as first:
                    first.sendall(json.dumps([1, {}]).encode() + b"\n")
                    return
            except OSError:
                pass

    threading.Thread(target=leave).start()
    assert meeting(port, {0: {}}, 3) == {0: "host 1 left before all had come"}


def test_what_a_host_was_given_is_what_its_files_hold(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    (tmp_path / "c").write_text("other")
    first, second, third = (
        hosts.given(ConfigDict({"input": str(tmp_path / name), "workdir": name, "steps": 2})) for name in "abc"
    )
    assert first == second != third
    assert first["config.steps"] == "2"
    assert "config.workdir" not in first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((None, 2, 0), "--hosts needs --coordinator"),
        (("nowhere", 2, 0), "--coordinator=nowhere: must be HOST:PORT of the first host, or auto"),
        (("a:1", 2, 2), "--host=2: must be below --hosts=2"),
        (("no.such.host.invalid:1", 2, 1), "--coordinator=no.such.host.invalid:1: no such host"),
    ],
)
def test_flags_that_cannot_be(arguments, said):
    with pytest.raises(UserError) as caught:
        hosts.join(*arguments, ConfigDict())
    assert str(caught.value).startswith(said)
