"""Losses as pure functions of log-probabilities. Each returns (sum, count); who adds up rows, steps or devices divides once.

Shapes: C completions, N tokens; `mask` [C, N] is 1 at a completion's own tokens. All in nats.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.learning.settings import Aggregation, Level, PolicyLoss

Reduced = tuple[Float[Array, ""], Float[Array, ""]]


def sft(logprobs: Float[Array, "*shape"], mask: Float[Array, "*shape"]) -> Reduced:
    """Negative log-likelihood of the answers' tokens; count: tokens."""
    return -(logprobs * mask).sum(), mask.sum()


def dpo(
    beta: float,
    chosen: Float[Array, " P"],
    rejected: Float[Array, " P"],
    reference_chosen: Float[Array, " P"],
    reference_rejected: Float[Array, " P"],
    mask: Float[Array, " P"],
) -> Reduced:
    """-log sigmoid(beta (log p/p_ref (chosen) - log p/p_ref (rejected))) (arXiv 2305.18290, eq. 7); count: pairs."""
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -(jax.nn.log_sigmoid(beta * margin) * mask).sum(), mask.sum()


def grpo(
    settings: PolicyLoss,
    logprobs: Float[Array, "C N"],
    sampled: Float[Array, "C N"],
    reference: Float[Array, "C N"],
    entropies: Float[Array, "C N"],
    advantages: Float[Array, " C"],
    mask: Float[Array, "C N"],
) -> Reduced:
    """-min(w A, clip(w, 1 - low, 1 + high) A) + penalty KL - bonus H, a token (DeepSeekMath, arXiv 2402.03300, eq. 3).

    w = exp(log p - log p_sampled) of a token, or exp of its mean over the sequence (GSPO, arXiv 2507.18071); `sampled` are the
    log-probabilities under which the completion was drawn. KL to `reference` is k2 = d^2/2 or k3_ratio = w (e^-d - 1 + d), with
    d = log p - log p_ref: on the policy's own samples both have the expected gradient of KL(p || p_ref) over the next token.
    """
    gap = (logprobs - sampled) * mask
    ratio = importance(settings.level, gap, mask)
    gain = advantages[:, None]
    clipped = jnp.clip(ratio, 1 - settings.clip_low, 1 + settings.clip_high)
    losses = -jnp.minimum(ratio * gain, clipped * gain)
    away = (logprobs - reference) * mask
    if settings.penalty == "k2":
        losses += settings.penalty_weight * away**2 / 2
    elif settings.penalty == "k3_ratio":
        losses += settings.penalty_weight * jnp.exp(gap) * (jnp.expm1(-away) + away)
    if settings.entropy_weight:
        losses -= settings.entropy_weight * entropies
    return aggregate(settings.aggregation, losses, mask, settings.max_tokens)


def importance(level: Level, gap: Float[Array, "C N"], mask: Float[Array, "C N"]) -> Float[Array, "C N"]:
    """exp(gap) token by token, or exp of the sequence's mean gap at each of its tokens; `gap` is 0 outside of the mask."""
    if level == "sequence":
        gap = jnp.broadcast_to(gap.sum(1, keepdims=True) / jnp.maximum(mask.sum(1, keepdims=True), 1), gap.shape)
    return jnp.exp(gap)


def aggregate(aggregation: Aggregation, losses: Float[Array, "C N"], mask: Float[Array, "C N"], max_tokens: int) -> Reduced:
    """(sum, count) over tokens.

    grpo: the mean over completions of each one's mean (arXiv 2402.03300). dr_grpo: over completions times `max_tokens`
    (arXiv 2503.20783). dapo: over all tokens of a step (arXiv 2503.14476). bnpo: the mean over tokens of each batch that goes
    through the devices at once; count: batches.
    """
    tokens = mask.sum(1)
    present = (tokens > 0).sum().astype(losses.dtype)
    total = (losses * mask).sum()
    if aggregation == "grpo":
        return ((losses * mask).sum(1) / jnp.maximum(tokens, 1)).sum(), present
    if aggregation == "dr_grpo":
        return total, present * max_tokens
    if aggregation == "dapo":
        return total, tokens.sum()
    return total / jnp.maximum(tokens.sum(), 1), (tokens.sum() > 0).astype(losses.dtype)


def watched(
    settings: PolicyLoss,
    logprobs: Float[Array, "C N"],
    sampled: Float[Array, "C N"],
    reference: Float[Array, "C N"],
    entropies: Float[Array, "C N"],
    advantages: Float[Array, " C"],
    mask: Float[Array, "C N"],
) -> dict[str, Reduced]:
    """What is logged of a GRPO step, each as (sum, count) over tokens: KL to the reference (k3), entropy, how often the clip
    bound a gain or a loss, and how far the trainer's log-probabilities are from the sampler's."""
    gap, away = (logprobs - sampled) * mask, (logprobs - reference) * mask
    ratio, gain = importance(settings.level, gap, mask), advantages[:, None]
    tokens = mask.sum()
    means = {
        "kl": jnp.expm1(-away) + away,
        "entropy": entropies,
        "clipped_low": (ratio < 1 - settings.clip_low) & (gain < 0),
        "clipped_high": (ratio > 1 + settings.clip_high) & (gain > 0),
        "sampler_gap": jnp.abs(gap),
    }
    return {name: ((value * mask).sum(), tokens) for name, value in means.items()}
