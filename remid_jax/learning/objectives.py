"""What a training step minimises: how the losses read a batch. Each is (log-probabilities, entropies, mask, columns) -> loss."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from jaxtyping import Array, Float

from remid_jax.learning import losses
from remid_jax.learning.losses import PolicyLoss, Reduced

Columns = dict[str, Array]


class Objective(Protocol):
    """Hashable: a step is compiled once for each. Returns the loss and what is logged beside it, all as (sum, count)."""

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
        loss = losses.dpo(
            *(a[:, side].reshape(-1) for a in (logliks, reference) for side in (chosen, rejected)),
            mask=pairs.reshape(-1),
            beta=self.beta,
        )
        margin = (logliks - reference)[:, chosen] - (logliks - reference)[:, rejected]
        preferred = ((margin > 0) * pairs).sum()
        return loss, {"margin": ((margin * pairs).sum(), pairs.sum()), "preferred": (preferred, pairs.sum())}


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
