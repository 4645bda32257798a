"""How far into an answer an evaluation looks (docs/protocol.md, rule 21)."""

from __future__ import annotations

from ml_collections import ConfigDict

from remid_jax.errors import UserError


def horizon_of(config: ConfigDict) -> int | None:
    """Returns the tokens of an answer that are scored at most; None, as ready replies have it by default: whole answers.

    Raises:
      UserError: replies are generated, and the horizon is farther than they are.
    """
    if config.policy.replies:
        return config.horizon
    if config.horizon is not None and config.horizon > config.policy.max_reply:
        raise UserError(
            f"config.horizon={config.horizon}: the policy's replies are known for config.policy.max_reply="
            f"{config.policy.max_reply} tokens only: lower the horizon or raise config.policy.max_reply"
        )
    return config.horizon or config.policy.max_reply
