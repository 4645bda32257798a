"""Sampling against a plain loop that re-encodes the whole text for every token and filters by the book."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tiny import CONFIG, NEVER, tiny_model

from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.decoding import unstacked
from remid_jax.models.sampling import Moves, Patience, Sampler, choose, decode, empty_rows, keep, move
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

RNG = np.random.default_rng(1)
PROMPTS = [RNG.integers(2, CONFIG.vocab_size, n).tolist() for n in (3, 70, 41)]


def next_logits(ids):
    """The whole text so far, re-encoded, in one padded shape so that it compiles once."""
    padded = np.zeros((1, 128), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(_whole(padded), np.float64)[0, len(ids) - 1]


@jax.jit
def _whole(padded):
    decoder = bind(CONFIG, tiny_model().params)
    return decoder.logits(decoder(padded, TokenTree(jnp.arange(128)[None], jnp.full((1, 128), NEVER))))


def greedy(ids, max_new, penalty):
    said, logprobs = [], []
    while len(said) < max_new and (not said or said[-1] != 1):
        logits = next_logits([*ids, *said])
        logprobs.append(logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
        for seen in set(ids) | set(said):
            logits[seen] = logits[seen] * penalty if logits[seen] < 0 else logits[seen] / penalty
        said.append(int(np.argmax(logits)))
    return said, [row[token] for row, token in zip(logprobs, said, strict=True)]


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_of_unlike_prompts_equals_one_at_a_time(tmp_path, penalty):
    generator = Generator(tiny_model(), Devices(), Store(tmp_path / "store"), rows=4)
    samples = generator.generate([Prompt(p, [Draw(repetition_penalty=penalty)]) for p in PROMPTS], Sampler(24, (1,)))
    for prompt, [sample] in zip(PROMPTS, samples, strict=True):
        said, logprobs = greedy(prompt, 24, penalty)
        assert list(sample.ids) == said
        assert sample.finish == ("end" if said[-1] == 1 else "length")
        np.testing.assert_allclose(sample.logprobs, logprobs, atol=1e-4)


def test_a_record_says_the_same_in_any_company_and_its_logprobs_are_the_engines(tmp_path):
    sampler = Sampler(20, (1,))
    draws = [[Draw(1.0, key=record_key(0, "test", f"record {n}", draw)) for draw in range(2)] for n in range(3)]
    generator = Generator(tiny_model(), Devices(), Store(tmp_path / "store"), rows=8)
    prompts = [Prompt(p, k) for p, k in zip(PROMPTS, draws, strict=True)]
    together, alone = generator.generate(prompts, sampler), generator.generate(prompts[1:2], sampler)
    assert together[1][0].ids == alone[0][0].ids
    assert together[1][1].ids == alone[0][1].ids != alone[0][0].ids
    scored = ScoringEngine(tiny_model(), Devices(), Store(tmp_path / "store"), 512, 512).score(
        [Request(p.ids, [Continuation(s.ids) for s in drawn]) for p, drawn in zip(prompts, together, strict=True)]
    )
    for drawn, rows in zip(together, scored, strict=True):
        for sample, row in zip(drawn, rows, strict=True):
            np.testing.assert_allclose(sample.logprobs, row, atol=1e-4)


def test_greedy_and_drawn_replies_share_a_batch(tmp_path):
    drawn = Draw(1.0, key=record_key(0, "mixed", "record"))
    generator = Generator(tiny_model(), Devices(), Store(tmp_path / "store"), rows=4)
    [[greedy, sampled]] = generator.generate([Prompt(PROMPTS[0], [Draw(), drawn])], Sampler(12, (1,)))
    [[greedy_alone]] = generator.generate([Prompt(PROMPTS[0])], Sampler(12, (1,)))
    [[sampled_alone]] = generator.generate([Prompt(PROMPTS[0], [drawn])], Sampler(12, (1,)))
    assert greedy.ids == greedy_alone.ids != sampled.ids == sampled_alone.ids


def test_the_second_time_comes_from_the_store(tmp_path):
    sampler, prompts = (
        Sampler(8, (1,)),
        [Prompt(p, [Draw(1.0, key=record_key(0, "t", str(n)))]) for n, p in enumerate(PROMPTS)],
    )
    first = Generator(tiny_model(), Devices(), Store(tmp_path / "store"), rows=4).generate(prompts, sampler)
    second = Generator(tiny_model(), Devices(), Store(tmp_path / "store"), rows=4)
    assert second.generate(prompts, sampler) == first
    assert (second.counts.device_steps, second.counts.store_misses) == (0, 0)


LOGITS = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def kept(temperature=1.0, top_k=0, top_p=1.0):
    """The distribution that the text-book order of filters leaves."""
    p = np.exp(LOGITS / temperature)
    p /= p.sum()
    order = np.argsort(-p)
    keep = np.ones(len(p), bool)
    if top_k:
        keep[order[top_k:]] = False
    if top_p < 1:
        q = np.where(keep, p, 0) / p[keep].sum()
        before = np.cumsum(q[order]) - q[order]
        keep[order[before >= top_p]] = False
    return np.where(keep, p, 0) / p[keep].sum()


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"temperature": 0.5}, {"top_k": 3}, {"top_k": 1000}, {"top_p": 0.7},
        {"top_k": 4, "top_p": 0.8, "temperature": 1.5},
    ],
)  # fmt: skip
def test_draws_follow_the_filtered_distribution(settings):
    draws = 20_000
    sampler = Sampler(1, (), settings.get("top_k", 0), settings.get("top_p", 1.0))
    temperatures, penalties = jnp.full(draws, settings.get("temperature", 1.0)), jnp.ones(draws)
    keys = np.random.default_rng(2).integers(0, 2**32, (draws, 2), dtype=np.uint32)
    logits, unseen = jnp.tile(jnp.array(LOGITS, jnp.float32), (draws, 1)), jnp.zeros((draws, 6), bool)
    tokens = choose(sampler, logits, unseen, jnp.asarray(keys), temperatures, penalties, jnp.zeros(draws, jnp.int32))
    counts, expected = np.bincount(tokens, minlength=6), kept(**settings) * draws
    assert counts[expected == 0].sum() == 0
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-3


@pytest.mark.parametrize(("live", "spare"), [(0, 0), (5, 0), (5, 2), (5, 3), (5, 40), (3, 0), (3, 9), (2, 1_000), (-1, 0)])
def test_a_loop_stops_when_few_rows_go_on_and_the_others_would_cost_too_much(live, spare):
    limits, spoken, steps, idle = np.array([2, 4, 4, 7, 9, 12]), np.ones(6, int), 0, 0
    while steps < 10 and (going := (spoken < limits).sum()) and (going > live or idle + 6 - going <= spare):
        steps, idle, spoken = steps + 1, idle + 6 - going, spoken + (spoken < limits)
    rows = empty_rows(CONFIG, 6, 32, 16, jnp.float32)
    wishes, ones = rows.wishes._replace(limits=jnp.array(limits, jnp.int32)), jnp.ones(6, jnp.int32)
    rows = rows._replace(wishes=wishes, counts=ones, slots=ones, last=ones, ended=jnp.zeros(6, bool))
    # The shares of two devices, of which only the sum matters.
    patience = Patience(jnp.array([live - 2, 2]), jnp.array([spare, 0]))
    after = _going_on()(rows, patience)
    np.testing.assert_array_equal(after.counts, spoken)
    np.testing.assert_array_equal(after.ended, spoken >= limits)
    np.testing.assert_array_equal(after.slots, spoken)


@functools.cache
def _going_on():
    params = tiny_model().params
    step = functools.partial(decode, CONFIG, Sampler(0, ()), 10, lambda count: count, params, unstacked(CONFIG, params))
    return jax.jit(step)


def test_rows_are_moved_and_kept_whole():
    rows = jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), empty_rows(CONFIG, 6, 4, 8, jnp.float32))
    moves = Moves(jnp.array([[5, 4], [3, 0]]), jnp.array([[0, 1], [2, 6]]))  # 6: nowhere
    moved = move(rows, moves)
    kept = keep(moved, jnp.array([[2, 0], [0, 2]]))  # of two devices with three rows each
    for before, between, after in zip(*map(jax.tree.leaves, (rows, moved, kept)), strict=True):
        np.testing.assert_array_equal(between, np.asarray(before)[[5, 4, 3, 3, 4, 5]])
        np.testing.assert_array_equal(after, np.asarray(before)[[3, 5, 3, 5]])
