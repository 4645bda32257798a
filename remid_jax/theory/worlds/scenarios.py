"""Random worlds by kind of shift. A scenario draws the *logits* of worlds and builds the worlds from them, so the worst world
of a scenario can be searched by gradient ascent on the same logits.

The generator: each alphabet's size is uniform on its range (letters beyond it have probability 0); each law is Dirichlet with
one concentration for all its letters, log-uniform on 0.1 .. 10, drawn anew for each world's every law of contexts and every
kernel; the rows of a kernel are independent. Only the tilt of "mild_tilt" is normal instead.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remid_jax.theory.worlds.world import World

Logits = dict[str, Any]  # by law; arrays of the axes in `AXES`

CONCENTRATION = (0.1, 10.0)
MILD = 0.5  # in "mild_tilt", log Q/P stays within +-0.5 before normalising


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`draw(rng, count)` gives the logits of random worlds, `build` the world that logits without a batch axis stand for."""

    name: str
    meaning: str
    draw: Callable[[np.random.Generator, int], Logits]
    build: Callable[[Logits], World]

    def sample(self, seed: int, count: int) -> World:
        """A batch of `count` random worlds, the same for the same seed and count."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return jax.jit(jax.vmap(self.build))(self.draw(rng, count))


def _dirichlet(rng: np.random.Generator, allowed: np.ndarray) -> np.ndarray:
    """Logits [worlds, ...] of Dirichlet laws: log-gamma variables of one concentration a world, -inf where not `allowed`."""
    concentration = np.exp(rng.uniform(np.log(CONCENTRATION[0]), np.log(CONCENTRATION[1]), len(allowed))).reshape(
        -1, *[1] * (allowed.ndim - 1)
    )
    # log Gamma(a) = log Gamma(a + 1) + log(uniform)/a does not underflow where a is small.
    gamma = np.log(rng.standard_gamma(concentration + 1, allowed.shape)) - rng.exponential(size=allowed.shape) / concentration
    return np.where(allowed, gamma, -np.inf)


def softmax(logits: Float[Array, "..."], axes: tuple[int, ...]) -> Float[Array, "..."]:
    """exp(logits) / sum over `axes`; where all of a row is forbidden (-inf), a row of zeros."""
    top = jax.lax.stop_gradient(jnp.maximum(logits.max(axis=axes, keepdims=True), -1e30))
    weights = jnp.exp(logits - top)
    total = weights.sum(axis=axes, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)


def _scenario(
    name: str, meaning: str, contexts: Callable[[Logits], tuple[Array, Array]],
    laws: tuple[str, ...], sizes: tuple[tuple[int, int], ...], concept: bool = False,
) -> Scenario:  # fmt: skip
    """A scenario whose context laws come from the logits `laws`, over alphabets (u, c, d, y) of the given ranges."""
    most = tuple(high for _, high in sizes)
    kernels = ("golden", "theta", "golden_q") if concept else ("golden", "theta")

    def draw(rng: np.random.Generator, count: int) -> Logits:
        lows, highs = np.array(sizes).T
        counts = rng.integers(lows, highs + 1, (count, 4))
        logits = {}
        for law in (*laws, *kernels):
            # A context that never occurs has a law of replies as well.
            bounded = [axis for axis in AXES[law] if law in laws or axis == REPLY]
            shape = [most[axis] for axis in AXES[law]]
            allowed = np.ones((count, *shape), bool)
            for axis in bounded:
                here = np.arange(most[axis]) < counts[:, axis, None]
                allowed &= here.reshape(count, *(most[axis] if axis == other else 1 for other in AXES[law]))
            logits[law] = rng.normal(size=allowed.shape) if law == "tilt" else _dirichlet(rng, allowed)
        return logits

    def build(logits: Logits) -> World:
        p, q = contexts(logits)
        golden, theta = softmax(logits["golden"], (-1,)), softmax(logits["theta"], (-1,))
        return World(p, q, golden, softmax(logits["golden_q"], (-1,)) if concept else golden, theta)

    return Scenario(name, meaning, draw, build)


USER, CHARACTER, DIALOGUE, REPLY = range(4)
AXES = {
    **dict.fromkeys(("p_u", "q_u", "p_block", "q_block"), (USER,)),
    **dict.fromkeys(("p_c", "q_c"), (CHARACTER,)),
    "uc": (USER, CHARACTER),
    **dict.fromkeys(("p_x", "q_x", "rest", "p_rest", "q_rest", "tilt"), (USER, CHARACTER, DIALOGUE)),
    **dict.fromkeys(("golden", "golden_q", "theta"), (USER, CHARACTER, DIALOGUE, REPLY)),
}


def _joint(logits: Logits) -> tuple[Array, Array]:
    return softmax(logits["p_x"], (0, 1, 2)), softmax(logits["q_x"], (0, 1, 2))


def _user(logits: Logits) -> tuple[Array, Array]:
    rest = softmax(logits["rest"], (1, 2))
    return tuple(softmax(logits[law], (0,))[:, None, None] * rest for law in ("p_u", "q_u"))  # type: ignore[return-value]


def _character(logits: Logits) -> tuple[Array, Array]:
    rest = softmax(logits["rest"], (0, 2))
    return tuple(softmax(logits[law], (0,))[:, None] * rest for law in ("p_c", "q_c"))  # type: ignore[return-value]


def _dialogue(logits: Logits) -> tuple[Array, Array]:
    pairs = softmax(logits["uc"], (0, 1))[..., None]
    return pairs * softmax(logits["p_rest"], (2,)), pairs * softmax(logits["q_rest"], (2,))


def _mild(logits: Logits) -> tuple[Array, Array]:
    p = softmax(logits["p_x"], (0, 1, 2))
    q = p * jnp.exp(MILD * jnp.tanh(logits["tilt"]))
    return p, q / q.sum()


def _consistent(logits: Logits) -> tuple[Array, Array]:
    """Even and odd users, characters and dialogues never mix; P and Q differ in the weights of these two blocks alone."""
    parity = [number % 2 for number in jnp.indices(logits["p_x"].shape)]
    laws = []
    for weights in (softmax(logits["p_block"][:2], (0,)), softmax(logits["q_block"][:2], (0,))):
        law = jnp.zeros(())
        for block in (0, 1):
            inside = (parity[0] == block) & (parity[1] == block) & (parity[2] == block)
            law = law + weights[block] * softmax(jnp.where(inside, logits["p_x"], -jnp.inf), (0, 1, 2))
        laws.append(law)
    return laws[0], laws[1]


_KINDS = {
    "user": ("P_u shifts; P(c, d|u) stays", _user, ("p_u", "q_u", "rest")),
    "character": ("P_c shifts; P(u, d|c) stays", _character, ("p_c", "q_c", "rest")),
    "dialogue": ("P(d|u, c) shifts; P_uc stays", _dialogue, ("uc", "p_rest", "q_rest")),
    "general": ("P_X and Q_X have nothing to do with each other", _joint, ("p_x", "q_x")),
    "mild_tilt": ("log Q/P within +-0.5, up to a constant", _mild, ("p_x", "tilt")),
    "many_users": ("a user shift among 8 to 20 users", _user, ("p_u", "q_u", "rest")),
    "consistent": (
        "two blocks that never mix, whose weights shift: the published bound's consistent conditionals",
        _consistent,
        ("p_x", "p_block", "q_block"),
    ),
    "concept": ("P_X and golden replies shift: Q_{Y|X} differs from P_{Y|X}", _joint, ("p_x", "q_x")),
}
_SMALL = ((2, 4), (2, 4), (2, 4), (2, 12))
_SIZES = {"many_users": ((8, 20), (2, 3), (2, 3), (2, 12)), "consistent": ((4, 4), (4, 4), (4, 4), (2, 12))}
_FIXED = {
    **dict.fromkeys(_KINDS, (2, 2, 2, 3)), "many_users": (6, 2, 1, 3), "consistent": (4, 2, 2, 3),
}  # fmt: skip

SCENARIOS = {name: _scenario(name, *kind, _SIZES.get(name, _SMALL), name == "concept") for name, kind in _KINDS.items()}
"""By name, with alphabets of 2 to 4 users, characters and dialogues and 2 to 12 replies where the meaning says no other."""

FIXED = {
    name: _scenario(name, *kind, tuple((size, size) for size in _FIXED[name]), name == "concept")
    for name, kind in _KINDS.items()
}
"""The same kinds of shift in the smallest alphabets that hold the worst worlds we know: for searches."""
