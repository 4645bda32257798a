"""What one reply tells of its own context, and what else is known of it: numbers to be held against people's scores.

A reply y of T tokens is scored in its own context x, in m other contexts x_k of other lineages, and without a context. With
the formulas of docs/metric.md, section 3 (Estimators), for one reply:

    club            log q(y|x) - (1/m) sum_k log q(y|x_k)
    leave_one_out   log q(y|x) - log((1/m) sum_k q(y|x_k))
    prompt_marginal log q(y|x) - log q_0(y)

Each is a sum over tokens. For the mixture that is the chain rule: a token has the probability of all that the mixture says up
to it, over that of what it says before it. So each splits exactly by the sources of docs/protocol.md, rule 23: `novel` (own
words and short quotes), `echo` and `quote` (long ones). A `token_rate` divides by the tokens of the whole reply.

`identified` is docs/protocol.md, rule 24, of one reply: the share of the other contexts to which it is traced less than to its
own. A context's offset is the mean rate of strangers' replies in it: of lineages other than the reply's and the context's own,
whose replies of several systems would lift the offsets of all contexts but the reply's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from remid_jax.information.identification import TIED_WITHIN
from remid_jax.information.score_table import NOVEL, SOURCES

PARTS: Mapping[str, Collection[str]] = {"": SOURCES, "novel": NOVEL, "echo": ("echo",), "quote": ("long_quote",)}
FORMULAS = ("club", "leave_one_out", "prompt_marginal")
BASELINES = ("loglik in context", "loglik without context", "tokens", "copied")
"""What needs no other context: mean log-likelihoods, nats a token; the length; the share of echoes and long quotes."""
UNIT_OF = {"tokens": "tokens", "copied": "share", "identified": "share", "novel identified": "share"}
"""The units of quantities whose names do not end with theirs."""


@dataclasses.dataclass(frozen=True)
class ScoredReply:
    """The log-probabilities, nats, of a reply's tokens, and where each token comes from.

    `context` is the number of its own context, `others` are those of the m other ones.
    """

    context: int
    others: Sequence[int]
    own: Float[np.ndarray, " T"]
    elsewhere: Float[np.ndarray, "m T"]
    nowhere: Float[np.ndarray, " T"]
    sources: Int[np.ndarray, " T"]


def unit_of(quantity: str) -> str:
    """Returns the unit of a quantity of `pointwise`: "token_rate", "response", "share" or "tokens"."""
    last = quantity.rpartition(" ")[2]
    return UNIT_OF.get(quantity, last if last in ("token_rate", "response") else "token_rate")


def pointwise(replies: Sequence[ScoredReply], lineage: np.ndarray) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns {quantity: its number of each reply}; `lineage` is that of each context.

    "club token_rate", "novel club token_rate", ... in nats a token, "club response" in nats; "identified" and "novel
    identified" as shares, 1/2 for a reply without such tokens; and `BASELINES`.
    """
    tokens = np.array([len(reply.own) for reply in replies], float)
    result = {}
    for formula in FORMULAS:
        terms = [_terms(reply, formula) for reply in replies]
        for part, sources in PARTS.items():
            of_part = np.array([of[_are(reply, sources)].sum() for of, reply in zip(terms, replies, strict=True)])
            result[f"{part} {formula} token_rate".strip()] = of_part / tokens
            if part in ("", "novel"):
                result[f"{part} {formula} response".strip()] = of_part
    result["identified"] = traced(replies, lineage, SOURCES)
    result["novel identified"] = traced(replies, lineage, NOVEL)
    result["loglik in context"] = np.array([reply.own.mean() for reply in replies])
    result["loglik without context"] = np.array([reply.nowhere.mean() for reply in replies])
    result["tokens"] = tokens
    result["copied"] = np.array([1 - _are(reply, NOVEL).mean() for reply in replies])
    return result


def _are(reply: ScoredReply, sources: Collection[str]) -> np.ndarray:
    return np.array([source in sources for source in SOURCES])[reply.sources]


def _terms(reply: ScoredReply, formula: str) -> Float[np.ndarray, " T"]:
    """What each token adds to a formula."""
    if formula == "club":
        return reply.own - reply.elsewhere.mean(axis=0)
    if formula == "prompt_marginal":
        return reply.own - reply.nowhere
    said = np.logaddexp.reduce(np.cumsum(reply.elsewhere, axis=1), axis=0) - np.log(len(reply.elsewhere))
    return reply.own - np.diff(said, prepend=0.0)


def traced(replies: Sequence[ScoredReply], lineage: np.ndarray, sources: Collection[str]) -> Float[np.ndarray, " n"]:
    """Returns `identified` of each reply, by its tokens of some sources alone; 1/2 where it has none, or nothing to compare."""
    rates = np.full((len(lineage), len(replies)), np.nan)
    for place, reply in enumerate(replies):
        if (chosen := _are(reply, sources)).any():
            rates[reply.context, place] = reply.own[chosen].mean()
            rates[list(reply.others), place] = reply.elsewhere[:, chosen].mean(axis=1)
    codes = np.unique(lineage, return_inverse=True)[1]
    of_reply = codes[[reply.context for reply in replies]]
    heard = ~np.isnan(rates) & (codes[:, None] != of_reply)
    known = np.where(heard, rates, 0.0)
    sums, counts = (np.zeros((len(lineage), codes.max() + 1)) for _ in range(2))  # by context and lineage of the replier
    np.add.at(sums.T, of_reply, known.T)
    np.add.at(counts.T, of_reply, heard.T.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        offsets = (sums.sum(axis=1, keepdims=True) - sums) / (counts.sum(axis=1, keepdims=True) - counts)
    result = np.full(len(replies), 0.5)
    for place, reply in enumerate(replies):
        advantage = rates[:, place] - offsets[:, of_reply[place]]
        gap = advantage[reply.context] - advantage[list(reply.others)]
        gap = gap[~np.isnan(gap)]
        if len(gap):
            result[place] = np.where(np.abs(gap) <= TIED_WITHIN, 0.5, gap > 0).mean()
    return result
