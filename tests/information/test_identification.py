"""How often replies are traced to their contexts, against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identified_by_loops import by_loops

from remid_jax.information.identification import identified


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 7), st.integers(0, 10**6), st.booleans())
def test_it_is_what_loops_over_pairs_find(n, seed, silent):
    rng = np.random.default_rng(seed)
    rates = rng.integers(-3, 3, (n, n)) / 2.0  # with ties
    if silent:
        rates[:, rng.integers(n)] = np.nan
    lineage = np.array([f"l{k}" for k in [0, 1, 2, *rng.integers(0, 3, n - 3)]])
    weights = np.concatenate([np.ones((1, n)), rng.integers(1, 3, (3, n)).astype(float)])
    expected = [by_loops(rates, lineage, row) for row in weights]
    assert identified(rates, lineage, weights) == pytest.approx(expected, abs=1e-12)


def test_replies_that_fit_their_own_context_alone_are_always_traced_and_equal_ones_by_chance():
    everyone, lineage = np.ones((1, 5)), np.arange(5).astype(str)
    level = np.linspace(-3, 2, 5)[:, None]  # a context in which everything is likely
    assert identified(2 * np.eye(5) + level, lineage, everyone) == [1.0]
    assert identified(np.zeros((5, 5)) + level, lineage, everyone) == [0.5]
    assert identified(np.full((5, 5), np.nan), lineage, everyone) == [0.5]


def test_a_reply_among_silent_ones_counts_as_chance():
    rates = np.full((4, 4), np.nan)
    rates[:, 2] = [0.0, 1.0, 5.0, 0.0]
    weights = np.concatenate([np.ones((1, 4)), 1 - np.eye(4)])
    assert identified(rates, np.arange(4).astype(str), weights).tolist() == [0.5] * 5


def test_one_lineage_alone_gives_no_offset_and_no_number():
    assert np.isnan(identified(np.eye(4), np.array(["a"] * 4), np.ones((1, 4))))[0]


def test_replicates_in_parts_are_those_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    rates, lineage, weights = rng.normal(size=(6, 6)), np.arange(6).astype(str), rng.integers(0, 3, (40, 6)).astype(float)
    whole = identified(rates, lineage, weights)
    monkeypatch.setattr("remid_jax.information.identification.AT_ONCE", 72)
    assert identified(rates, lineage, weights) == pytest.approx(whole, abs=1e-15, nan_ok=True)
