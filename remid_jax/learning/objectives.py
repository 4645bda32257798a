"""What a training step minimises: how the losses read a batch."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from jaxtyping import Array, Float

from remid_jax.learning import losses
from remid_jax.learning.losses import Reduced
from remid_jax.learning.settings import PolicyLoss

Columns = dict[str, Array]


class Objective(Protocol):
    """Returns the loss and what is logged beside it, all as (sum, count). Hashable: a step is compiled once for each."""

    def __hash__(self) -> int: ...

    def __call__(
        self, logprobs: Float[Array, "B K N"], entropies: Float[Array, "B K N"], mask: Float[Array, "B K N"], columns: Columns
    ) -> tuple[Reduced, dict[str, Reduced]]: ...


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """SFT: cross-entropy of the completions' tokens. No columns."""

    def __call__(self, logprobs: Array, entropies: Array, mask: Array, columns: Columns) -> tuple[Reduced, dict[str, Reduced]]:
        return losses.sft(logprobs, mask), {"entropy": ((entropies * mask).sum(), mask.sum())}


@dataclasses.dataclass(frozen=True)
class Preference:
    """DPO. Each request has two completions, the chosen one first; column "reference" [B, K]: their log-likelihoods under the
    reference, nats."""

    beta: float = 0.1

    def __call__(self, logprobs: Array, entropies: Array, mask: Array, columns: Columns) -> tuple[Reduced, dict[str, Reduced]]:
        logliks, reference = (logprobs * mask).sum(-1), columns["reference"]
        chosen, rejected = slice(0, None, 2), slice(1, None, 2)
        pairs = mask[:, rejected].max(-1)
        gains = [(a[:, chosen].reshape(-1), a[:, rejected].reshape(-1)) for a in (logliks, reference)]
        (better, worse), (reference_better, reference_worse) = gains
        loss = losses.dpo(self.beta, better, worse, reference_better, reference_worse, pairs.reshape(-1))
        margin = ((better - reference_better) - (worse - reference_worse)) * pairs.reshape(-1)
        return loss, {"margin": (margin.sum(), pairs.sum()), "preferred": ((margin > 0).sum(), pairs.sum())}


@dataclasses.dataclass(frozen=True)
class GroupRelative:
    """GRPO. Columns "advantages" [B, K], "sampled" and "reference" [B, K, N]: log-probabilities under which completions were
    drawn, and those under the reference (equal to "sampled" where nothing penalises the distance)."""

    settings: PolicyLoss

    def __call__(self, logprobs: Array, entropies: Array, mask: Array, columns: Columns) -> tuple[Reduced, dict[str, Reduced]]:
        rows = (-1, mask.shape[-1])
        per_token = (logprobs, columns["sampled"], columns["reference"], entropies)
        arguments = (*(a.reshape(rows) for a in per_token), columns["advantages"].reshape(-1), mask.reshape(rows))
        return losses.grpo(self.settings, *arguments), losses.watched(self.settings, *arguments)
