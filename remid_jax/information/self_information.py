"""Self information I(P_X (x) P_theta): the policy's own kernel on its own samples (method.md 3, protocol.md rule 12)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.information.mutual_information import leave_one_out_terms, mixture_terms

TRUNCATED_AT_MOST = 0.1


def unavailable(truncated: np.ndarray | None) -> str | None:
    """Why there is no self information: no samples under the policy's own kernel, or too many cut off; None when there is.

    A truncated sample has lost its end token, so its likelihood is not that of the reply the policy would have given.
    """
    if truncated is None:
        return "no samples scored under the policy's own kernel"
    share = float(truncated.mean())
    if share > TRUNCATED_AT_MOST:
        return f"{share:.0%} of the policy's samples are truncated, more than {TRUNCATED_AT_MOST:.0%}"
    return None


@jax.jit
def self_information(
    loglik: Float[Array, "n n S"], finished: Float[Array, "n S"], weights: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(`mixture`, `leave_one_out`) over contexts, mean over finished samples: in expectation below and above I; nats.

    `loglik[i, j, s] = log P_theta(y_j^s | x_i)`, y_j^s sampled from context j; `finished` is 1 or 0. The kernel is exact, so no
    critic is fitted.
    """
    counted = weights[:, None] * finished

    def mean(terms: Array) -> Array:
        return jnp.sum(counted * terms) / counted.sum()

    over_samples = jax.vmap(mixture_terms, in_axes=(2, None), out_axes=1)
    over_samples_loo = jax.vmap(leave_one_out_terms, in_axes=(2, None), out_axes=1)
    return mean(over_samples(loglik, weights)), mean(over_samples_loo(loglik, weights))
