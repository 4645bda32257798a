"""What cross and self EMI say of policies whose quality is known, exactly, on a world of eight equally likely contexts.

Cross EMI scores every policy's replies by the golden kernel (the authors' question: are they right for their context?), in the
population, by `club` and `mixture`. Self EMI is definitional: I(X; Y_theta) - I(X; Y). A policy that relabels the right replies
keeps all information and is wrong everywhere; only the two together tell.
"""

from __future__ import annotations

import numpy as np

from remid_jax.theory.worlds import known

MEANINGS = {
    "right": "replies as golden",
    "constant": "one reply for all contexts",
    "permuted": "the golden replies of another context",
    "relabelled": "golden replies under a fixed exchange of replies",
    "sharpened": "golden probabilities squared",
    "flattened": "golden probabilities to the power 1/2",
}


def policies(golden: np.ndarray) -> dict[str, np.ndarray]:
    """Kernels [contexts, replies] by the names of `MEANINGS`."""

    def powered(power: float) -> np.ndarray:
        kernel = golden**power
        return kernel / kernel.sum(1, keepdims=True)

    return {
        "right": golden,
        "constant": np.eye(golden.shape[1])[np.zeros(len(golden), int)],
        "permuted": np.roll(golden, 1, axis=0),
        "relabelled": np.roll(golden, 1, axis=1),
        "sharpened": powered(2.0),
        "flattened": powered(0.5),
    }


def information(kernel: np.ndarray) -> float:
    """I(X; Y) under equally likely contexts, nats."""
    ratio = np.where(kernel > 0, kernel, 1) / np.where(kernel > 0, kernel.mean(0), 1)
    return float((kernel * np.log(ratio)).sum(1).mean())


def cross_club(replies: np.ndarray, critic: np.ndarray) -> float:
    """E log q(y|x) over matched pairs minus over independent ones, nats."""
    logs = np.log(critic)
    return float((replies * logs).sum(1).mean() - (replies.mean(0) * logs).sum(1).mean())


def cross_mixture(replies: np.ndarray, critic: np.ndarray) -> float:
    """E [log q(y|x) - log mean_x q(y|x)] over matched pairs: the limit of `mixture` for many contexts, nats."""
    return float((replies * np.log(critic / critic.mean(0))).sum(1).mean())


def study() -> dict[str, dict[str, float]]:
    """{policy: {"cross_club", "cross_mixture", "self"}}: EMI of each kind, nats."""
    golden = np.asarray(known.w8_replies().p_y)[:, 0, 0]
    found = {}
    for name, kernel in policies(golden).items():
        found[name] = {
            "cross_club": cross_club(kernel, golden) - cross_club(golden, golden),
            "cross_mixture": cross_mixture(kernel, golden) - cross_mixture(golden, golden),
            "self": information(kernel) - information(golden),
        }
    return found
