"""Continuous batching: prompts of unlike lengths with replies of unlike lengths, against the same ones alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CONFIG, tiny_model

from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.scoring.seating import prompt_width, rung
from remid_jax.scoring.store import Store

RNG = np.random.default_rng(5)
STOP_IDS = tuple(range(1, 5))  # of 97: replies end after about 24 tokens, some at once, some never


def prompts(count, draws=1, longest=89, rng=RNG):
    return [
        Prompt(
            rng.integers(5, CONFIG.vocab_size, rng.integers(1, longest + 1)).tolist(),
            [Draw(1.0, key=record_key(0, "seating", str(n), draw)) for draw in range(draws)],
        )
        for n in range(count)
    ]


def generate(asked, rows, max_new=64, stop_ids=STOP_IDS):
    generator = Generator(tiny_model(), Devices(), Store(":memory:"), rows)
    return generator.generate(asked, Sampler(max_new, stop_ids)), generator.counts


def assert_same(found, expected):
    """The same tokens and ends; log-probabilities up to rounding."""
    for a, b in zip([s for draws in found for s in draws], [s for draws in expected for s in draws], strict=True):
        assert (a.ids, a.finish) == (b.ids, b.finish)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4, rtol=0)


def test_a_hundred_unlike_prompts_say_what_each_says_alone():
    asked = prompts(100)
    together, counts = generate(asked, 32)
    alone = [generate([prompt], 2)[0][0] for prompt in asked]
    assert_same(together, alone)
    lengths = [len(sample.ids) for [sample] in together]
    assert min(lengths) < 4 < 60 < max(lengths)
    said = sum(lengths)
    print(f"{said} tokens of 100 replies; {counts.idle} computed after a row's end, {counts.idle / (said + counts.idle):.1%}")
    assert counts.idle < 0.05 * (said + counts.idle)
    assert counts.tokens == said + sum(len(prompt.ids) for prompt in asked)


@pytest.mark.parametrize("rows", [32, 64])
def test_of_short_replies_under_a_twentieth_is_computed_after_their_ends(rows):
    asked = prompts(151, longest=300, rng=np.random.default_rng(0))
    together, counts = generate(asked, rows, stop_ids=tuple(range(1, 10)))
    lengths, length = [len(sample.ids) for [sample] in together], sum(len(prompt.ids) for prompt in asked)
    said = sum(lengths)
    print(f"{rows} rows, median reply {np.median(lengths)}: {counts.idle / (said + counts.idle):.1%} after a row's end; "
          f"{counts.padding - counts.idle} of filler beside {length} tokens of prompts")  # fmt: skip
    assert 7 <= np.median(lengths) <= 10
    assert counts.idle < 0.05 * (said + counts.idle)
    assert counts.padding - counts.idle < 0.08 * length
    assert counts.tokens == said + length


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_draws_of_one_prompt_take_seats_as_they_fall_free(rows):
    asked = prompts(7, draws=3)
    together, _ = generate(asked, rows)
    for prompt, samples in zip(asked, together, strict=True):
        for draw, sample in zip(prompt.draws, samples, strict=True):
            assert_same(generate([Prompt(prompt.ids, [draw])], 8)[0], [[sample]])


def test_prompts_may_want_unlike_numbers_of_draws():
    one, three = prompts(1), prompts(1, draws=3)
    [[a], several], _ = generate(one + three, 4)
    assert_same(generate(one, 4)[0], [[a]])
    assert_same(generate(three, 4)[0], [several])
    assert len(several) == 3


def test_progress_counts_the_tokens_that_were_said_and_no_more():
    asked, heard, store = prompts(12, draws=2), [], Store(":memory:")
    sampler, hear = Sampler(64, STOP_IDS), lambda done, total: heard.append((done, total))
    found = Generator(tiny_model(), Devices(), store, 8).generate(asked, sampler, hear)
    said = sum(len(sample.ids) for samples in found for sample in samples)
    assert heard[-1] == (said, said)
    assert said < 24 * 64
    dones, totals = zip(*heard, strict=True)
    assert list(dones) == sorted(dones)
    assert list(totals) == sorted(totals, reverse=True)
    assert all(done <= total for done, total in heard)
    heard.clear()
    Generator(tiny_model(), Devices(), store, 8).generate(asked, sampler, hear)
    assert heard == [(0, 0)]


def test_a_reply_of_one_token_ends_at_once():
    asked = prompts(5)
    together, counts = generate(asked, 2, max_new=1)
    longer, _ = generate(asked, 2)
    assert [sample.ids for [sample] in together] == [sample.ids[:1] for [sample] in longer]
    assert [sample.finish == "end" for [sample] in together] == [sample.ids[0] in STOP_IDS for [sample] in together]
    assert counts.idle == 0


@given(st.integers(1, 5_000))
def test_numbers_of_rows_are_near_what_is_needed(count):
    up, down = rung(count), rung(count, down=True)
    assert max(count, 2) <= up < max(1.5 * count, 3)
    assert down == (up if up == count else max((n for n in {rung(k) for k in range(1, count + 1)} if n <= count), default=0))


def test_prompts_are_filled_up_by_a_quarter_at_most():
    for length in range(1, 8_193):
        assert length <= prompt_width(length) < length + 32 + length / 4, length
