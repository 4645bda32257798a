"""Every fault in a description of endpoints is told in one line; a key is never shown."""

import json

import pytest
from refusal import refusal

from remid_jax.endpoints.descriptions import NO_KEY, Description, key_of_server, read_description

GOOD = {"base_url": "https://api.example.com/v1/", "model": "m-1"}
SECRET = "sk-very-secret-0123456789"


def test_a_description_is_read_with_its_defaults(tmp_path):
    path = tmp_path / "endpoints.json"
    path.write_text(
        json.dumps({"mine": GOOD, "other": GOOD | {"key": "K", "price": {"prompt": 1, "completion": 2.5}, "cap": 3}})
    )
    assert read_description("endpoint:mine", path) == Description(base_url="https://api.example.com/v1", model="m-1")
    other = read_description("endpoint:other", path)
    assert (other.key, other.price.completion, other.cap, other.concurrency, other.retries) == ("K", 2.5, 3.0, 4, 6)


def test_the_fingerprint_is_of_what_decides_the_replies():
    one = Description(**GOOD)
    assert one.fingerprint == Description(**GOOD, concurrency=9, key="K", timeout=1.0, retries=0, cap_tokens=5).fingerprint
    others = [GOOD | {"model": "m-2"}, GOOD | {"base_url": "https://b.example.com"}, GOOD | {"body": {"top_k": 1}}]
    assert len({one.fingerprint, *(Description(**other).fingerprint for other in others)}) == 4


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({}, "base_url: missing; F: x.model: missing"),
        (GOOD | {"modle": 1}, "modle: unknown key (did you mean 'model'?)"),
        (GOOD | {"base_url": "api.example.com"}, "base_url: must be an address such as https://api.example.com/v1"),
        (GOOD | {"base_url": "http://a:b/v1"}, "base_url: must be an address such as https://api.example.com/v1"),
        (
            GOOD | {"base_url": f"https://me:{SECRET}@a.example.com"},
            'base_url: holds a user, a password or a query: name in "key" the environment variable of the key',
        ),
        (
            GOOD | {"key": SECRET},
            "key: must be the name of an environment variable, such as MY_API_KEY, never the key itself",
        ),
        (GOOD | {"concurrency": 0}, "concurrency: Input should be greater than or equal to 1"),
        (GOOD | {"price": {"prompt": 1}}, "price.completion: missing"),
        (GOOD | {"cap": 1}, ': a "cap" needs a "price" of a million tokens: {"prompt": ..., "completion": ...}'),
        ("text", "must be an object, not a text"),
    ],
)
def test_faults(tmp_path, written, fault):
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"x": written}))
    said = refusal(read_description, "endpoint:x", path)
    assert SECRET not in said
    assert said == f"{path}: x{'' if fault.startswith(':') else '.'}{fault.replace('F:', f'{path}:')}"


def test_no_file_no_object_no_such_endpoint(tmp_path):
    assert refusal(read_description, "endpoint:x", None) == (
        "endpoint:x: nobody says where it is: give --config.endpoints=FILE.json (docs/endpoints.md)"
    )
    path = tmp_path / "e.json"
    path.write_text("[]")
    assert refusal(read_description, "endpoint:x", path) == (
        f'{path}: is not a JSON object: write {{"NAME": {{"base_url": ..., "model": ...}}}}'
    )
    path.write_text(json.dumps({"mine": GOOD}))
    assert refusal(read_description, "endpoint:mime", path) == (
        f"{path}: has no endpoint 'mime' (did you mean 'mine'?): it has mine"
    )


def test_keys_come_from_the_environment_alone(monkeypatch):
    described = Description(**GOOD, key="MY_KEY")
    assert key_of_server(Description(**GOOD), "endpoint:x") == NO_KEY
    monkeypatch.delenv("MY_KEY", raising=False)
    assert refusal(key_of_server, described, "endpoint:x") == (
        "endpoint:x: the environment has no MY_KEY: export it with the key of https://api.example.com/v1"
    )
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
    assert refusal(key_of_server, described, "endpoint:x") == (
        "endpoint:x: MY_KEY in the environment holds spaces, line ends or other signs that no key has"
    )
    monkeypatch.setenv("MY_KEY", SECRET)
    assert key_of_server(described, "endpoint:x") == SECRET
