"""Pairs in a stream: each scored once, given in order and soon, and what is stored of one is not computed again."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONFIG, REQUESTS, assert_equal, overflowing, plain_logprobs, tiny_model

from remid_jax.errors import UserError
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.pairs import ahead, score_pairs
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

RNG = np.random.default_rng(5)


def texts(count, shortest=2, longest=9):
    return [RNG.integers(2, CONFIG.vocab_size, length).tolist() for length in RNG.integers(shortest, longest + 1, count)]


PAIRS = [Request(prefix, [Continuation(answer)]) for prefix, answer in zip(texts(3000, 3, 6), texts(3000, 2, 4), strict=True)]


def engine(store=":memory:", model=None):
    return ScoringEngine(model or tiny_model(), Devices(), store if isinstance(store, Store) else Store(store), 512, 256)


def windows(requests, size=500):
    return [requests[first : first + size] for first in range(0, len(requests), size)]


def test_packed_pairs_equal_each_alone():
    expected = [[plain_logprobs(tiny_model(), r.prefix, c.ids) for c in r.continuations] for r in REQUESTS]
    strangers = PAIRS[:40]
    found = list(score_pairs(engine(), [[*strangers, REQUESTS[0]], REQUESTS[1:]]))
    assert_equal(found[40:], expected, 3e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=4)), min_size=1, max_size=12), st.data())
def test_every_pair_is_answered_in_order_and_computed_once(asked, data):
    """Pairs may stand twice, in one window or in two that are open at once."""
    requests = [Request(PAIRS[p].prefix, [PAIRS[a].continuations[0] for a in answers]) for p, answers in asked]
    cut = data.draw(st.integers(0, len(requests)))
    one = engine()
    found = list(score_pairs(one, [requests[:cut], requests[cut:]]))
    alone = SHARED.score([Request(PAIRS[p].prefix, [PAIRS[a].continuations[0] for a in range(6)], str(p)) for p in range(6)])
    assert_equal(found, [[alone[p][a] for a in answers] for p, answers in asked], 3e-5)
    assert one.counts.store_misses == len({(p, a) for p, answers in asked for a in answers})


SHARED = engine()


def test_new_lines_alone_are_computed(tmp_path):
    first = engine(tmp_path / "store")
    before = list(score_pairs(first, windows(PAIRS[:2000])))
    assert (first.counts.store_hits, first.counts.store_misses) == (0, 2000)
    more = engine(tmp_path / "store")
    after = list(score_pairs(more, windows(PAIRS, 700)))
    assert (more.counts.store_hits, more.counts.store_misses) == (2000, 1000)
    assert more.counts.tokens <= sum(len(r.prefix) + len(r.continuations[0].ids) for r in PAIRS[2000:])
    fewer = engine(tmp_path / "store")
    removed = list(score_pairs(fewer, windows(PAIRS[1::2], 300)))
    assert (fewer.counts.store_misses, fewer.counts.device_steps) == (0, 0)
    for a, b in itertools.chain(zip(before, after, strict=False), zip(after[1::2], removed, strict=True)):
        np.testing.assert_array_equal(a[0], b[0])
    together = list(score_pairs(engine(), windows(PAIRS[1700:2300])))
    assert max(np.abs(a[0] - b[0]).max() for a, b in zip(together, after[1700:2300], strict=True)) < 5e-5


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole = list(score_pairs(engine(), windows(PAIRS[:900], 300)))
    results = score_pairs(engine(tmp_path / "store"), windows(PAIRS[:900], 300))
    given = list(itertools.islice(results, 400))
    results.close()
    resumed = engine(tmp_path / "store")
    again = list(score_pairs(resumed, windows(PAIRS[:900], 300)))
    assert 300 < resumed.counts.store_hits < 900
    assert resumed.counts.store_hits + resumed.counts.store_misses == 900
    for a, b in zip([*whole, *whole[:400]], [*again, *given], strict=True):
        assert a[0].tobytes() == b[0].tobytes()


def test_results_come_while_later_windows_are_not_read_yet():
    read = []

    def source():
        for window in windows(PAIRS[:1500], 100):
            read.append(len(window))
            yield window

    for done, _ in enumerate(score_pairs(engine(), source()), 1):
        assert done <= 100 * len(read) <= done + 300


def test_a_thread_is_one_item_ahead_and_its_errors_arrive():
    def items():
        yield from (1, 2)
        raise UserError("the third is bad")

    got = []
    with pytest.raises(UserError, match="the third is bad"):
        got.extend(ahead(items()))
    assert list(ahead(iter([4, 5, 6]))) == [4, 5, 6]


def test_what_is_not_finite_names_its_request_and_is_not_stored(tmp_path):
    requests = [Request([3, n, 5], [Continuation([6, 7])]) for n in (20, 21, 9, 22)]
    store = Store(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^large: logprobs of \d of 4 requests are not finite in float32, first those"):
            list(score_pairs(engine(store, overflowing(9)), [requests[:1], requests[1:]]))
