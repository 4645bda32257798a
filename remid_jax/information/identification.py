"""How often a reply is traced to its own context rather than to another (docs/protocol.md, rule 24)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from remid_jax.information.score_table import NOVEL, SOURCES, Replies

TIED_WITHIN = 1e-9  # nats a token: what rounding may part
AT_ONCE = 1 << 22  # numbers of an array [replicates, n, n]


def identified(
    rates: Float[np.ndarray, "n n"], lineage: np.ndarray, weights: Float[np.ndarray, "R n"]
) -> Float[np.ndarray, " R"]:
    """Returns the share of choices between a reply's own context and another that its log-likelihood makes right.

        identified = mean over ordered pairs i != j of [a_i > a_j] (+ 1/2 at ties),    a_k = rates[k, i] - b_k,

    with b_k the mean rate in context k of replies of other lineages than reply i's; chance is 1/2. A column of NaN is a reply
    that has nothing to trace: it counts as chance, and no offset is made of it; so does a reply where all others are such ones.
    NaN where no record of another lineage is left.

    Args:
      rates: log-likelihood of reply i in context k, nats a token; row = context, column = reply, own pairs on the diagonal.
      lineage: of each record, or its clusters of several kinds [kinds, n]: then what counts is whether records share any.
      weights: how often each record counts, a row a replicate; copies of one record are no pair.
    """
    silent = np.isnan(np.diagonal(rates))
    rates = np.where(silent, 0.0, rates)
    of_kinds = np.atleast_2d(lineage)
    same = (of_kinds[:, :, None] == of_kinds[:, None]).any(axis=0)
    step = max(1, AT_ONCE // rates.size)
    return np.concatenate([_traced(rates, silent, same, weights[k : k + step]) for k in range(0, len(weights), step)])


def _traced(
    rates: Float[np.ndarray, "n n"],
    silent: Bool[np.ndarray, " n"],
    same: Bool[np.ndarray, "n n"],
    weights: Float[np.ndarray, "R n"],
) -> Float[np.ndarray, " R"]:
    counted = weights * ~silent
    others = counted.sum(axis=1)[:, None] - counted @ same  # [R, i]
    sums = (counted @ rates.T)[:, :, None] - np.matmul(rates, counted[:, :, None] * same)  # [R, k, i]
    with np.errstate(invalid="ignore", divide="ignore"):
        advantage = rates - sums / others[:, None, :]
    gap = np.diagonal(advantage, axis1=1, axis2=2)[:, None, :] - advantage  # own minus other context [R, j, i]
    right = np.where(np.abs(gap) <= TIED_WITHIN, 0.5, gap > 0)
    right = np.where(np.isnan(gap), np.nan, right)
    unheard = (others == 0) & (weights.sum(axis=1)[:, None] > weights @ same)  # all replies of other lineages are silent
    right = np.where((unheard | silent)[:, None, :], 0.5, right)
    pairs = weights[:, :, None] * weights[:, None, :] * ~np.eye(len(silent), dtype=bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, pairs * right, 0.0).sum(axis=(1, 2)) / pairs.sum(axis=(1, 2))


def rates_of(replies: Replies, scorer: str, novel: bool) -> Float[np.ndarray, "n n"]:
    """Returns the log-likelihoods of whole replies, or of their novel tokens alone, by the number of those tokens.

    NaN in the columns of replies without a novel token.
    """
    tokens: Int[np.ndarray, " n"] = replies.tokens
    loglik = replies.loglik[scorer]
    if novel:
        assert replies.by_source is not None
        tokens = replies.by_source.tokens[:, [SOURCES.index(source) for source in NOVEL]].sum(axis=1)
        loglik = replies.part(NOVEL).loglik[scorer]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(tokens > 0, loglik / tokens, np.nan)
