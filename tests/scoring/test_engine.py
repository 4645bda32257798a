"""The engine's numbers depend on the question alone: not on batch, bucket, position, packing or company."""

import numpy as np
import pytest
from tiny import CONFIG, REQUESTS, assert_equal, reference, tiny_model, tokens

from remid_jax.errors import UserError
from remid_jax.parallel import Devices
from remid_jax.progress import shares
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.filling import Limits
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store


def engine(tmp_path, tokens_per_step=256, max_row=256, dtype="float32", name="store"):
    return ScoringEngine(tiny_model(dtype), Devices(), Store(tmp_path / name), tokens_per_step, max_row)


@pytest.fixture(scope="module")
def expected():
    return [[reference(request, continuation) for continuation in request.continuations] for request in REQUESTS]


@pytest.mark.parametrize(("tokens_per_step", "max_row"), [(64, 64), (256, 256), (1024, 256), (512, 512)])
def test_packed_rows_equal_each_sequence_alone(tmp_path, expected, tokens_per_step, max_row):
    assert np.std(np.concatenate([np.concatenate(rows) for rows in expected])) > 1  # a model with something to get wrong
    assert_equal(engine(tmp_path, tokens_per_step, max_row).score(REQUESTS), expected)


def test_company_order_and_position_change_nothing(tmp_path, expected):
    strangers = [Request(tokens(20), [Continuation(tokens(5))], group) for group in "ab" for _ in range(6)]
    found = engine(tmp_path).score([*strangers, *REQUESTS[::-1]])
    assert_equal(found[len(strangers) :][::-1], expected)


def test_bfloat16_stays_near_float32(tmp_path, expected):
    found = engine(tmp_path, dtype="bfloat16").score(REQUESTS)
    gaps = np.concatenate([np.concatenate(a) - np.concatenate(b) for a, b in zip(found, expected, strict=True)])
    assert 0 < np.abs(gaps).mean() < 0.2  # logits of standard deviation far above a trained model's


def test_a_second_run_asks_no_device_and_answers_the_same_bits(tmp_path):
    first = engine(tmp_path)
    scores = first.score(REQUESTS)
    second = engine(tmp_path)
    again = second.score(REQUESTS)
    assert second.counts.device_steps == 0
    assert second.counts.store_hits == second.counts.rows == first.counts.store_misses > 0
    assert all(a.tobytes() == b.tobytes() for x, y in zip(scores, again, strict=True) for a, b in zip(x, y, strict=True))


def test_progress_counts_the_tokens_that_are_computed_now(tmp_path):
    """Of two workers of one stage, of which the store has all that the first is asked."""
    heard = []
    engine(tmp_path).score(REQUESTS)
    first, second = shares(lambda done, total: heard.append((done, total)), [1, 1])
    engine(tmp_path).score(REQUESTS, first)
    other = engine(tmp_path, 64, 64, name="other")
    other.score(REQUESTS, second)
    dones, totals = zip(*heard, strict=True)
    assert dones[:2] == (0, 0)
    assert list(dones) == sorted(dones)
    assert totals == (0, *[dones[-1]] * (len(totals) - 1))
    assert dones[-1] == other.counts.tokens > 0


def test_an_edit_recomputes_only_its_groups_rows(tmp_path):
    first = engine(tmp_path)
    first.score(REQUESTS)
    edited = [*REQUESTS[:2], Request(REQUESTS[2].prefix, [*REQUESTS[2].continuations[:2], Continuation([5, 6, 7])], "b")]
    second = engine(tmp_path)
    second.score(edited)
    in_group_b = sum(row.group == "b" for row in second.plan(edited).rows)
    assert 0 < second.counts.store_misses <= in_group_b < second.counts.rows


def test_half_finished_work_is_continued_to_the_same_bits(tmp_path):
    whole = engine(tmp_path, max_row=64, tokens_per_step=64)
    scores = whole.score(REQUESTS)

    class Killed(Exception):
        pass

    def kill(done, total):
        if done > total / 3:
            raise Killed

    interrupted = engine(tmp_path, max_row=64, tokens_per_step=64, name="other")
    with pytest.raises(Killed):
        interrupted.score(REQUESTS, kill)
    resumed = engine(tmp_path, max_row=64, tokens_per_step=64, name="other")
    again = resumed.score(REQUESTS)
    assert 0 < resumed.counts.store_hits < resumed.counts.rows
    assert all(a.tobytes() == b.tobytes() for x, y in zip(scores, again, strict=True) for a, b in zip(x, y, strict=True))


def test_probabilities_of_all_answers_of_one_token_sum_to_one(tmp_path):
    [scores] = engine(tmp_path).score([Request([3, 4, 5], [Continuation([v]) for v in range(CONFIG.vocab_size)])])
    assert np.exp(np.array(scores, np.float64)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request([3, CONFIG.vocab_size], [Continuation([4])]), "vocabulary size 97"),
        (Request([3] * CONFIG.max_positions, [Continuation([4])]), "longer than the 8192"),
    ],
)
def test_what_the_model_does_not_take_is_refused(tmp_path, request_, words):
    with pytest.raises(UserError, match=words):
        engine(tmp_path).score([request_])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_of_unchanged_groups_keep_their_bits_and_their_steps_when_others_change(tmp_path, dtype):
    """Whatever a backend makes of the number of rows in a step: that number depends on a row's own group alone."""
    groups = {name: [Request(tokens(40), [Continuation(tokens(n))], name) for n in (3, 50, 9, 120, 77)] for name in "pq"}
    edited = [Request(tokens(90), [Continuation(tokens(30))], "p") for _ in range(9)]
    before = engine(tmp_path, dtype=dtype, name="one", max_row=128).score([*groups["p"], *groups["q"]])[5:]
    after = engine(tmp_path, dtype=dtype, name="two", max_row=128).score([*edited, *groups["q"]])[9:]
    assert all(a[0].tobytes() == b[0].tobytes() for a, b in zip(before, after, strict=True))


def test_the_size_of_a_step_moves_numbers_by_rounding_alone_and_is_in_the_key(tmp_path):
    """The last bits do depend on it, also in float32 on CPUs, so a row that was computed in a step of another size is none."""
    asked = [Request(tokens(40), [Continuation(tokens(20))], "g") for _ in range(8)]
    expected = [[reference(request, request.continuations[0])] for request in asked]
    for misses, tokens_per_step in ((8, 512), (8, 64), (0, 1024)):
        one = engine(tmp_path, tokens_per_step, 64)
        assert_equal(one.score(asked), expected, 3e-5)
        assert one.counts.store_misses == misses, tokens_per_step
    assert [Limits(64, 1e4, size).steps(64, 8).runs for size in (64, 512, 1024)] == [((1, 8),), ((8, 1),), ((8, 1),)]


def test_the_next_step_begins_before_the_last_is_fetched(monkeypatch):
    happened = []
    one = ScoringEngine(tiny_model(), Devices(), Store(":memory:"), 64, 64)
    begin, fetch = one.begin_scores, one.devices.fetch
    monkeypatch.setattr(one, "begin_scores", lambda *of: happened.append("begin") or begin(*of))
    monkeypatch.setattr(one.devices, "fetch", lambda of: happened.append("fetch") or fetch(of))
    one.score([Request(tokens(30), [Continuation(tokens(20))], str(n)) for n in range(4)])
    assert happened == ["begin", "begin", "fetch", "begin", "fetch", "begin", "fetch", "fetch"]
