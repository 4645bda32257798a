"""Every quantity of a reply against loops over its tokens and contexts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.information.pointwise import BASELINES, FORMULAS, ScoredReply, pointwise, unit_of
from remid_jax.information.score_table import SOURCES

NOVEL = {"short_quote", "own"}


def drawn(seed, contexts=4, per_context=2, m=None):
    """Replies scored in their own context and in the `m` next ones (all by default), with the log-probabilities of a table."""
    rng = np.random.default_rng(seed)
    replies = []
    for number in range(contexts * per_context):
        own, length = number % contexts, int(rng.integers(1, 6))
        others = [(own + k) % contexts for k in range(1, 1 + (contexts - 1 if m is None else m))]
        logs = -rng.exponential(1.0, (len(others) + 2, length))
        sources = rng.integers(0, len(SOURCES), length)
        replies.append(ScoredReply(own, others, logs[0], logs[1:-1], logs[-1], sources))
    return replies


def mixture_by_probabilities(reply, place):
    """log p(token | context) - log of what the even mixture of the other contexts gives the token after those before it."""
    before = np.exp(reply.elsewhere[:, :place].sum(axis=1))
    with_it = np.exp(reply.elsewhere[:, : place + 1].sum(axis=1))
    return reply.own[place] - np.log(with_it.mean() / before.mean())


def term(reply, formula, place):
    if formula == "club":
        return reply.own[place] - sum(row[place] for row in reply.elsewhere) / len(reply.elsewhere)
    return reply.own[place] - reply.nowhere[place] if formula == "prompt_marginal" else mixture_by_probabilities(reply, place)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_formulas_and_their_parts_are_sums_over_tokens(seed):
    replies = drawn(seed)
    found = pointwise(replies, np.arange(4).astype(str))
    groups = {"": set(SOURCES), "novel": NOVEL, "echo": {"echo"}, "quote": {"long_quote"}}
    for formula in FORMULAS:
        for part, sources in groups.items():
            for number, reply in enumerate(replies):
                chosen = [k for k, source in enumerate(reply.sources) if SOURCES[source] in sources]
                nats = sum(term(reply, formula, k) for k in chosen)
                name = f"{part} {formula}".strip()
                assert found[f"{name} token_rate"][number] == pytest.approx(nats / len(reply.own), abs=1e-9)
                if f"{name} response" in found:
                    assert found[f"{name} response"][number] == pytest.approx(nats, abs=1e-9)
        parts = [found[f"{part} {formula} token_rate"] for part in ("novel", "echo", "quote")]
        np.testing.assert_allclose(sum(parts), found[f"{formula} token_rate"], atol=1e-9)


def test_leave_one_out_of_whole_replies_is_the_log_of_the_mean_probability():
    replies = drawn(5)
    expected = [
        reply.own.sum() - np.log(np.mean([np.exp(row.sum()) for row in reply.elsewhere])) for reply in replies
    ]  # fmt: skip
    np.testing.assert_allclose(pointwise(replies, np.arange(4).astype(str))["leave_one_out response"], expected, atol=1e-9)


def traced_by_loops(replies, lineage, chosen):
    """docs/protocol.md, rule 24, of one reply after the other; offsets are of replies that are strangers to both."""

    def rate(reply, context):
        kept = [k for k, source in enumerate(reply.sources) if SOURCES[source] in chosen]
        row = {reply.context: reply.own, **dict(zip(reply.others, reply.elsewhere, strict=True))}.get(context)
        return None if row is None or not kept else np.mean([row[k] for k in kept])

    result = []
    for reply in replies:
        strangers = [of for of in replies if lineage[of.context] != lineage[reply.context]]

        def advantage(context, reply=reply, strangers=strangers):
            others = [of for of in strangers if lineage[of.context] != lineage[context]]
            heard = [value for of in others if (value := rate(of, context)) is not None]
            return None if not heard or rate(reply, context) is None else rate(reply, context) - np.mean(heard)

        gaps = [
            advantage(reply.context) - advantage(other)
            for other in reply.others
            if advantage(reply.context) is not None and advantage(other) is not None
        ]
        result.append(np.mean([0.5 if abs(gap) <= 1e-9 else float(gap > 0) for gap in gaps]) if gaps else 0.5)
    return result


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 2]), st.booleans())
def test_identified_is_what_loops_find(seed, m, related):
    replies = drawn(seed, contexts=5, m=m)
    lineage = np.array(["a", "b", "c", "d", "a" if related else "e"])
    found = pointwise(replies, lineage)
    assert found["identified"] == pytest.approx(traced_by_loops(replies, lineage, set(SOURCES)), abs=1e-12)
    assert found["novel identified"] == pytest.approx(traced_by_loops(replies, lineage, NOVEL), abs=1e-12)


def test_a_reply_to_everybody_is_traced_by_chance_whatever_others_say_to_their_own_contexts():
    """Each context hears one constant reply, and a parrot whose words are likely there alone."""
    level, logs = np.array([0.0, -1.0, -2.0, 0.5]), np.full((4, 4), -4.0)
    replies = []
    for own in range(4):
        others = [k for k in range(4) if k != own]
        for rates in (level, logs[own] + 4 * (np.arange(4) == own)):
            replies.append(ScoredReply(own, others, rates[[own]], rates[others][:, None], rates[[own]], np.array([3])))
    found = pointwise(replies, np.arange(4).astype(str))["identified"]
    assert found[::2].mean() == 0.5
    assert found[1::2].tolist() == [1.0] * 4


def test_baselines_are_means_over_tokens():
    reply = ScoredReply(
        0, [1], np.array([-1.0, -2.0, -6.0, -1.0]), np.full((1, 4), -1.0), np.array([-4.0, -4.0, -4.0, -8.0]),
        np.array([SOURCES.index(name) for name in ("echo", "own", "long_quote", "short_quote")]),
    )  # fmt: skip
    found = pointwise([reply], np.array(["a", "b"]))
    assert [found[name][0] for name in BASELINES] == [-2.5, -5.0, 4.0, 0.5]
    assert [unit_of(name) for name in (*BASELINES, "novel club response", "identified")] == [
        "token_rate", "token_rate", "tokens", "share", "response", "share",
    ]  # fmt: skip
