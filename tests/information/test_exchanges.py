"""Replies of some records, and of two policies, against loops over entries."""

import numpy as np

from remid_jax.information.exchanges import exchanged, of_records
from remid_jax.information.score_table import BySource, Replies

RNG = np.random.default_rng(0)


def replies(n=5):
    parts, alone = RNG.normal(size=(n, n, 4)), RNG.normal(size=(n, 4))
    tokens = RNG.integers(1, 9, (n, 4))
    by_source = BySource(tokens, {"plain": parts}, {"plain": alone})
    return Replies(tokens.sum(1), RNG.integers(1, 99, n), {"plain": parts.sum(-1)}, {"plain": alone.sum(-1)}, by_source)


def test_every_entry_is_that_of_the_policy_that_says_the_reply():
    one, other, chosen = replies(), replies(), np.array([0, 1, 1, 0, 1], bool)
    mixed = exchanged(one, other, chosen)
    for j, taken in enumerate(chosen):
        said = other if taken else one
        assert (mixed.tokens[j], mixed.chars[j]) == (said.tokens[j], said.chars[j])
        assert mixed.marginal["plain"][j] == said.marginal["plain"][j]
        np.testing.assert_array_equal(mixed.by_source.tokens[j], said.by_source.tokens[j])
        np.testing.assert_array_equal(mixed.by_source.marginal["plain"][j], said.by_source.marginal["plain"][j])
        for i in range(5):
            assert mixed.loglik["plain"][i, j] == said.loglik["plain"][i, j]
            np.testing.assert_array_equal(mixed.by_source.loglik["plain"][i, j], said.by_source.loglik["plain"][i, j])


def test_records_are_taken_along_both_axes():
    one, places = replies(), np.array([3, 0, 3])
    taken = of_records(one, places)
    for j, b in enumerate(places):
        assert (taken.tokens[j], taken.chars[j], taken.marginal["plain"][j]) == (
            one.tokens[b],
            one.chars[b],
            one.marginal["plain"][b],
        )
        for i, a in enumerate(places):
            assert taken.loglik["plain"][i, j] == one.loglik["plain"][a, b]
            np.testing.assert_array_equal(taken.by_source.loglik["plain"][i, j], one.by_source.loglik["plain"][a, b])
    assert exchanged(one.part(("own",)), one, np.ones(5, bool)).by_source is None
