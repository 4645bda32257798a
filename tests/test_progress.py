"""Progress: lines come while a stage lasts, with the rate and time left of all its work, whoever does it."""

import contextlib
import io
import threading

import pytest
from rich.console import Console

from remid_jax import progress
from remid_jax.progress import Shown, Silent, Timed, Together, shares


class Lines(io.StringIO):
    """A stream that says when its `awaited`th line has come."""

    def __init__(self, awaited: int):
        super().__init__()
        self.came, self._awaited = threading.Event(), awaited

    def write(self, text: str) -> int:
        count = super().write(text)
        if self.getvalue().count("\n") >= self._awaited:
            self.came.set()
        return count


@pytest.fixture
def clock(monkeypatch):
    """What time it is, in seconds: clock[0]."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(stream, every=3600.0):
    return Shown(Console(file=stream, width=120, force_terminal=False), every)


def test_lines_come_before_the_stage_ends_and_a_summary_after(clock):
    stream = Lines(awaited=3)
    with shown(stream, every=0.02).stage("score") as advance:
        clock[0] += 10
        advance(2_000, 8_000)
        assert stream.came.wait(60)
        clock[0] += 10
        advance(8_000, 8_000)
        before = len(stream.getvalue().splitlines())
    lines = stream.getvalue().splitlines()
    assert before >= 3
    assert "score           25%   2,000 of 8,000 tokens, 200 tokens/s, 0:30 left" in lines
    assert lines[-1] == "score             20.0 s   8,000 tokens, 400 tokens/s"
    assert lines[-1] not in lines[:-1]


def test_a_stage_without_a_total_tells_how_long_it_has_lasted(clock):
    stream = Lines(awaited=1)
    with shown(stream, every=0.02).stage("open", unit=""):
        clock[0] += 75
        assert stream.came.wait(60)
    assert stream.getvalue().splitlines()[-1] == "open              75.0 s"
    assert "open                75 s so far" in stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "done", "total", "rate"),
    [
        (4, 2, 20, "0.5 tokens/s, 0:36 left"),
        (10, 100, 100_000, "10 tokens/s, 2:46:30 left"),
        (2, 50, 50, "25 tokens/s"),
        (5, 0, 50, "0 tokens/s"),
    ],
)
def test_rate_and_time_left(clock, seconds, done, total, rate):
    count = progress._Count("score", "tokens")
    clock[0] += seconds
    count.advance(done, total)
    assert count.rate() == rate


def test_the_rate_is_of_the_time_since_the_first_unit_was_begun(clock):
    stream = Lines(awaited=1)
    with shown(stream, every=0.02).stage("score") as advance:
        for left in (1_000, 110):  # what a store has takes time, too
            clock[0] += 30
            advance(0, left)
        clock[0] += 5
        advance(10, 110)
        assert stream.came.wait(60)
        clock[0] += 50
        advance(110, 110)
    lines = stream.getvalue().splitlines()
    assert "score            9%   10 of 110 tokens, 2 tokens/s, 0:50 left" in lines
    assert lines[-1] == "score            115.0 s   110 tokens, 2 tokens/s"


def test_nothing_to_compute_is_said(clock):
    stream = io.StringIO()
    with shown(stream).stage("score"):
        clock[0] += 1.5
    assert stream.getvalue() == "score              1.5 s   nothing to compute\n"


def test_shares_add_workers_up():
    heard = []
    first, second, third = shares(lambda done, total: heard.append((done, total)), [2, 1, 1])
    first(10, 40)
    first(40, 40)
    second(5, 60)
    third(1, 20)
    second(60, 60)
    third(20, 20)
    # Those that have not begun are taken to have as much to do for their size as the others: 40 * 4 / 2, then 100 * 4 / 3.
    assert heard == [(10, 80), (40, 80), (45, 133), (46, 120), (101, 120), (120, 120)]


def test_seconds_of_a_stage_add_up_in_order(clock):
    timed = Timed(shown(io.StringIO()))
    for name, seconds in (("score", 2.0), ("embed", 1.0), ("score", 4.0)):
        with timed.stage(name):
            clock[0] += seconds
    assert list(timed.seconds.items()) == [("score", 6.0), ("embed", 1.0)]


def test_two_reports_hear_the_same():
    heard = ([], [])

    class Heard(Silent):
        def __init__(self, lines):
            self.say = lines.append

        @contextlib.contextmanager
        def stage(self, name, unit="tokens"):
            self.say(f"{name} in {unit}")
            yield lambda done, total: self.say((done, total))
            self.say("end")

    both = Together(*map(Heard, heard))
    both.say("a line")
    with both.stage("score", "rows") as advance:
        advance(1, 2)
    assert heard[0] == heard[1] == ["a line", "score in rows", (1, 2), "end"]
