"""Estimators of the mutual information I(X;Y) from one matrix of log-likelihoods (docs/metric.md, section 3 (Estimators)).

`loglik[i, j] = log q(y_j | x_i)` in nats: row = context, column = reply, golden pairs on the diagonal. Every estimator is a
pure function of that matrix and of `weights[i] >= 0`, the multiplicity of item i = (context i, reply i):

    0 = the item is absent, 1 = present, 2 = present twice; copies of one context are never a mismatched pair.

So the jackknife, the bootstrap and any subsample are one `jax.vmap` over `weights`, and cost one matrix product. Results are
nats per response; `weighted_mean` of the replies' tokens or characters is what the other units divide them by. Run these
under `jax.enable_x64(True)`: differences of response log-likelihoods need float64. An estimate that does not exist (no item,
no mismatched pair) is NaN or infinite, never a number.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ALL_PAIRS_BELOW = 64  # contexts; from here on `club` takes sampled pairs (docs/protocol.md, rule 8)


def mismatched_pairs(n: int, sampled: int, seed: int) -> np.ndarray:
    """How often each ordered pair (context i, reply j) stands in the mismatched mean of `club`, [n, n], zero diagonal.

    Every pair once below 64 contexts. From there on `sampled` of them, seeded, rounded up to whole rounds in which each context
    and each reply takes part once: so a constant of a context or of a reply still cancels, as it does over all pairs.
    """
    rounds = n - 1 if n < ALL_PAIRS_BELOW else min(n - 1, -(-sampled // n))
    rng = np.random.default_rng(seed)
    order, pairs = rng.permutation(n), np.zeros((n, n))
    for turn in rng.permutation(np.arange(1, n))[:rounds]:
        pairs[order, np.roll(order, turn)] = 1.0
    return pairs


@jax.jit
def weighted_mean(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    return weights @ values / weights.sum()


# One reply at a time: `column[j] = L[j, i]` for reply i, whose own context is `own` = i. Sums over replies come last, so
# devices may share the replies.


def mismatched_sum(
    column: Float[Array, " n"], pairs: Float[Array, " n"], weights: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(sum, count) of the reply's mismatched pairs, `pairs[j]` of them with context j."""
    counted = weights * pairs
    return counted @ column, counted.sum()


def log_others(column: Float[Array, " n"], own: Int[Array, ""], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """log sum_{j != own} w_j exp(L[j] - L[own]), as one product of a fixed vector and the weights.

    The vector is shifted so that the best wrong context sits near the top of the float range: a replicate that deletes it
    still sees contexts up to 1,300 nats below it (float64); what lies deeper counts as that deep.
    """
    info = jnp.finfo(column.dtype)
    gaps = jnp.where(jnp.arange(column.shape[0]) == own, -jnp.inf, column - column[own])
    shift = gaps.max() - 0.85 * jnp.log(info.max)
    return jnp.log(jnp.maximum(weights @ jnp.exp(gaps - shift), info.tiny)) + shift


def mixture_term(
    column: Float[Array, " n"], own: Int[Array, ""], weights: Float[Array, " n"], raised: Float[Array, " n"]
) -> Float[Array, ""]:
    """L[own] - log mean_j exp L[j], the mean over the own context once and all others w_j times.

    `raised` is added to L: what a replicate changes in the offsets of a critic.
    """
    candidates = 1 + weights.sum() - weights[own]
    others = log_others(column, own, weights * jnp.exp(raised)) - raised[own]
    return jnp.log(candidates) - jnp.logaddexp(0.0, others)


def leave_one_out_term(column: Float[Array, " n"], own: Int[Array, ""], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """L[own] - log mean_{j != own} exp L[j]."""
    return jnp.log(weights.sum() - weights[own]) - log_others(column, own, weights)


def log_mixture(column: Float[Array, " n"], own: Int[Array, ""], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """log of the mean of exp L[j] over contexts j != own, each counted w_j times; own = -1 leaves none out."""
    mine = jnp.where(own < 0, 0.0, weights[own])
    return column[own] + log_others(column, own, weights) - jnp.log(weights.sum() - mine)


@jax.jit
def club(scores: Float[Array, "n n"], weights: Float[Array, " n"], pairs: Float[Array, "n n"]) -> Float[Array, ""]:
    """mean_i S[i,i] - mean over mismatched pairs i != j of S[i,j] (CLUB, arXiv 2006.12013; the authors' estimator).

    `pairs` comes from `mismatched_pairs`. With S = L, nats per response; with S[i,j] = L[i,j] / tokens of reply j, the paper's
    `token_rate`, nats per token. Population value: I + KL(p_x p_y || p_x q) - KL(p_xy || p_x q): neither an upper
    nor a lower bound (docs/theory.md, W6).
    """
    sums, counts = jax.vmap(mismatched_sum, (1, 1, None))(scores, pairs, weights)
    return weighted_mean(jnp.diagonal(scores), weights) - weights @ sums / (weights @ counts)


@jax.jit
def mixture_terms(loglik: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """`mixture_term` of each reply."""
    n = loglik.shape[0]
    return jax.vmap(mixture_term, (1, 0, None, None))(loglik, jnp.arange(n), weights, jnp.zeros(n, loglik.dtype))


@jax.jit
def mixture(loglik: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """mean_i (L[i,i] - log (1/n) sum_j exp L[j,i]): InfoNCE with the language model as critic, arXiv 1807.03748.

    At most log n, surely; its expectation is at most I for any critic not fitted on these pairs. Raw sums of a real model need
    `calibration.critic` first.
    """
    return weighted_mean(mixture_terms(loglik, weights), weights)


@jax.jit
def leave_one_out_terms(loglik: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """`leave_one_out_term` of each reply."""
    return jax.vmap(leave_one_out_term, (1, 0, None))(loglik, jnp.arange(loglik.shape[0]), weights)


@jax.jit
def leave_one_out(loglik: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """`mixture` with the own context dropped from the mean: an upper bound on I only where q is the true kernel.

    Elsewhere it can lie below I (docs/theory.md, W6).
    """
    return weighted_mean(leave_one_out_terms(loglik, weights), weights)


@jax.jit
def prompt_marginal(loglik: Float[Array, "n n"], marginal: Float[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """mean_i (L[i,i] - log q_0(y_i)), q_0 the model without context: I - E KL(p || q) + KL(p_Y || q_0). Does not saturate."""
    return weighted_mean(jnp.diagonal(loglik) - marginal, weights)
