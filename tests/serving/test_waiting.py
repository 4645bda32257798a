"""Jobs that wait are computed together by kind; a failing one harms no other, a cancelled one is not computed."""

import threading

import pytest

from remid_jax.serving.waiting import Batches


class Held:
    """A computation that waits until it may go on; `calls` are its kinds and items."""

    def __init__(self):
        self.calls, self.began, self.go_on = [], threading.Event(), threading.Event()

    def __call__(self, kind, items):
        self.calls.append((kind, list(items)))
        self.began.set()
        self.go_on.wait(10)
        if "bad" in items:
            raise ValueError("bad item")
        return [f"{kind} of {item}" for item in items]


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def batches(held):
    made = Batches(held)
    yield made
    held.go_on.set()
    made.close()


def test_what_waits_is_one_call_a_kind(batches, held):
    first = batches.submit("a", 0)
    held.began.wait(10)
    futures = [batches.submit(kind, n) for n in range(3) for kind in ("a", "b")]
    held.go_on.set()
    assert [future.result(10) for future in [first, *futures]] == [
        "a of 0", "a of 0", "b of 0", "a of 1", "b of 1", "a of 2", "b of 2",
    ]  # fmt: skip
    assert held.calls == [("a", [0]), ("a", [0, 1, 2]), ("b", [0, 1, 2])]


def test_a_failing_job_fails_alone(batches, held):
    first = batches.submit("a", 0)
    held.began.wait(10)
    futures = [batches.submit("a", item) for item in (1, "bad", 2)]
    held.go_on.set()
    assert [first.result(10), futures[0].result(10), futures[2].result(10)] == ["a of 0", "a of 1", "a of 2"]
    with pytest.raises(ValueError, match="bad item"):
        futures[1].result(10)


def test_a_cancelled_job_is_not_computed(batches, held):
    first = batches.submit("a", 0)
    held.began.wait(10)
    second, third = batches.submit("a", 1), batches.submit("a", 2)
    assert second.cancel()
    held.go_on.set()
    assert (first.result(10), third.result(10)) == ("a of 0", "a of 2")
    assert held.calls == [("a", [0]), ("a", [2])]
