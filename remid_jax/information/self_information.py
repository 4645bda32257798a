"""When there is self information I(P_X (x) P_theta), by the policy's own kernel on its own samples.

The conditions are those of docs/protocol.md, rules 12 and 21.
"""

from __future__ import annotations

import numpy as np

TRUNCATED_AT_MOST = 0.1


def unavailable(truncated: np.ndarray | None, horizon: int | None = None) -> str | None:
    """Why there is no self information: no samples under the policy's own kernel, or too many cut off; None when there is.

    Without a horizon a truncated sample has lost its end token, so its likelihood is not that of the reply the policy would
    have given. At a horizon it is the event that a reply begins so, and is refused no more.
    """
    if truncated is None:
        return "no samples scored under the policy's own kernel"
    if horizon is not None:
        return None
    share = float(truncated.mean())
    if share > TRUNCATED_AT_MOST:
        return f"{share:.0%} of the policy's samples are truncated, more than {TRUNCATED_AT_MOST:.0%}"
    return None
